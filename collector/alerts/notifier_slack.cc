// notifier_slack.cc: a Slack incoming webhook, in the form that Alertmanager sends.
#include <nlohmann/json.hpp>

#include "collector/alerts/alertmanager_json.h"
#include "collector/alerts/notifier.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

using nlohmann::ordered_json;
constexpr size_t kMaxLines = 20;  // more would be cut by Slack anyway
constexpr size_t kMaxTextBytes = 8000;

/// Slack reads &, < and > as its own marks (links, mentions): a label must not page @here.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string text_of(const NotificationGroup& group) {
  std::string text;
  size_t lines = 0;
  for (const Alert& alert : group.alerts) {
    if (lines++ == kMaxLines) {
      text += "and " + std::to_string(group.alerts.size() - kMaxLines) + " more\n";
      break;
    }
    text += std::string(is_resolved(alert) ? "resolved: " : "") + "*" + escaped(summary_of(alert)) +
            "*\n";
    for (const char* key : {"description", "top_routes", "example_traces"}) {
      const auto at = alert.annotations.find(key);
      if (at != alert.annotations.end()) text += escaped(at->second) + "\n";
    }
  }
  return std::string(telemetry::cut_utf8(text, kMaxTextBytes));
}

NotifierRequest render(const NotifierConfig& config, const NotificationGroup& group) {
  size_t firing = 0;
  for (const Alert& alert : group.alerts) firing += is_resolved(alert) ? 0 : 1;
  const std::string title =
      (firing > 0 ? "[FIRING:" + std::to_string(firing) + "] " : "[RESOLVED] ") +
      group.alerts.front().name();
  ordered_json attachment;
  attachment["title"] = escaped(title);
  attachment["title_link"] = generator_url(group);
  attachment["text"] = text_of(group);
  attachment["fallback"] = escaped(title) + " | " + generator_url(group);
  attachment["color"] = firing > 0 ? "danger" : "good";
  attachment["mrkdwn_in"] = {"fallback", "pretext", "text"};
  ordered_json body;
  if (!config.channel.empty()) body["channel"] = config.channel;
  if (!config.username.empty()) body["username"] = config.username;
  body["attachments"] = ordered_json::array({std::move(attachment)});
  return {config.url, {{"Content-Type", "application/json"}}, dump_json(body)};
}

}  // namespace

const NotifierKind kSlackNotifier = {"slack", false, net::Millis(0), "", true, false, render};

}  // namespace hms::collector
