// main.ts: starts the page: theme, stream, history, and then what is drawn.
import { createApp } from 'vue';
import 'uplot/dist/uPlot.min.css';
import './styles/tokens.css';
import './styles/base.css';
import './data/theme';
import App from './App.vue';
import { loadAlerts } from './data/alerts';
import { loadCanaries } from './data/canaries';
import { acceptGap, acceptPoint, fillHistory, startClock } from './data/live';
import { WINDOW_SECONDS } from './data/series_store';
import { openStream } from './data/stream';

/// Alerts and canaries come with the stream; asking now and then covers an event that was missed.
const ASK_ANYWAY_MS = 15_000;

startClock();
openStream({
  onPoint: acceptPoint,
  onGap: acceptGap,
  onNamed: (name) => void (name === 'alert' ? loadAlerts() : loadCanaries()),
});
const second = Math.floor(Date.now() / 1000);
void fillHistory(second - WINDOW_SECONDS, second);
/// The stream starts at its newest second, and storage lags a moment behind: once both have moved on, what lies between is asked for.
for (const wait of [4_000, 12_000]) setTimeout(() => void fillHistory(second - 15, second + wait / 1000), wait);
void loadAlerts();
void loadCanaries();
setInterval(() => {
  if (document.hidden) return;
  void loadAlerts();
  void loadCanaries();
}, ASK_ANYWAY_MS);

createApp(App).mount('#app');
