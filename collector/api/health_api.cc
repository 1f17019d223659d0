#include "collector/api/health_api.h"

namespace hms::collector {
namespace {

void answer_ready(const HealthState& state, const StorageEngine& engine, net::Reply& reply) {
  if (state.draining) {
    net::send_error(reply, 503, "unavailable", "the collector is stopping", {{"Retry-After", "5"}});
  } else if (engine.failing()) {
    net::send_error(reply, 503, "unavailable",
                    "the disk refuses writes; batches are answered 503 until it takes them again",
                    {{"Retry-After", "5"}});
  } else {
    reply.send(200, "application/json", "{\"status\":\"ready\"}");
  }
}

}  // namespace

void register_health_api(net::HttpServer& server, const HealthState& state,
                         const StorageEngine& engine) {
  server.route("GET", "/healthz", [](net::Request&, const net::ReplyPtr& reply) {
    reply->send(200, "application/json", "{\"status\":\"ok\"}");
  });
  server.route("GET", "/readyz", [&state, &engine](net::Request&, const net::ReplyPtr& reply) {
    answer_ready(state, engine, *reply);
  });
  server.route("GET", "/metrics", [&state](net::Request& request, const net::ReplyPtr& reply) {
    const auto format = telemetry::PromWriter::negotiate(request.header("accept"));
    telemetry::PromWriter writer(format);
    for (const auto& source : state.metrics) source(writer);
    reply->send(200, telemetry::PromWriter::content_type(format), writer.finish());
  });
}

void write_engine_metrics(telemetry::PromWriter& writer, const StorageEngine& engine) {
  const KvStats stats = engine.stats();
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  writer.gauge("hms_collector_storage_disk_bytes", "Bytes of the data directory.", {},
               number(stats.disk_bytes));
  writer.gauge("hms_collector_storage_free_bytes", "Bytes free on its disk.", {},
               number(stats.free_bytes));
  writer.counter("hms_collector_storage_commits_total", "Synced group commits.", {},
                 number(stats.commits));
  writer.counter("hms_collector_storage_commit_failures_total", "Commits that the disk refused.",
                 {}, number(stats.commit_failures));
  writer.gauge("hms_collector_storage_failing", "1 while the disk refuses writes.", {},
               stats.failing ? 1 : 0);
  writer.gauge("hms_collector_storage_last_commit_seconds", "Duration of the last commit.", {},
               number(stats.last_commit_micros) / 1e6);
  writer.gauge("hms_collector_storage_memtable_bytes", "Memory of writes not yet in files.", {},
               number(stats.memtable_bytes));
  writer.gauge("hms_collector_storage_cache_bytes",
               "Memory of the block cache, memtables included.", {}, number(stats.cache_bytes));
  writer.gauge("hms_collector_storage_files_set_aside",
               "Damaged files that were taken out of use, until DIR/set-aside is removed.", {},
               number(engine.damage().size()));
  SenderLedger totals;
  const auto rows = engine.ledger();
  for (const auto& row : rows) totals.batches_missing += row.batches_missing;
  writer.gauge("hms_collector_senders", "Senders heard within a day.", {}, number(rows.size()));
  writer.gauge("hms_collector_batches_missing", "Gaps in the senders' sequences.", {},
               number(totals.batches_missing));
  const EngineCounters counters = engine.counters();
  for (const auto& [reason, count] : {std::pair("age", counters.days_dropped_for_age),
                                      std::pair("room", counters.days_dropped_for_room)}) {
    writer.counter("hms_collector_days_dropped_total",
                   "Days dropped because of their age, or for want of room.", {{"reason", reason}},
                   number(count));
  }
  writer.counter("hms_collector_batches_stored_total", "Batches stored since start.", {},
                 number(counters.batches_stored));
  writer.counter("hms_collector_batches_repeated_total", "Batches that were stored before.", {},
                 number(counters.batches_repeated));
  writer.counter("hms_collector_batches_failed_total",
                 "Batches answered with an error; their senders try again.", {},
                 number(counters.batches_failed));
  writer.counter("hms_collector_batches_refused_total", "Batches refused because too many waited.",
                 {}, number(counters.batches_refused));
  writer.counter("hms_collector_records_stored_total",
                 "Spans, logs and metric points stored since start.", {},
                 number(counters.records_stored));
}

void write_server_metrics(telemetry::PromWriter& writer, const std::string& listener,
                          const net::ServerCounters& counters) {
  const telemetry::Labels labels{{"listener", listener}};
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  writer.counter("hms_collector_http_requests_total", "HTTP requests.", labels,
                 number(counters.requests));
  writer.counter("hms_collector_http_bad_requests_total", "Requests that were not HTTP.", labels,
                 number(counters.bad_requests));
  writer.counter("hms_collector_http_connections_total", "Connections accepted.", labels,
                 number(counters.connections_accepted));
  writer.counter("hms_collector_http_connections_refused_total", "Connections over the limit.",
                 labels, number(counters.connections_refused));
  writer.counter("hms_collector_http_connections_displaced_total",
                 "Connections closed for another while they waited for their caller.", labels,
                 number(counters.connections_displaced));
  writer.counter("hms_collector_http_timeouts_total", "Requests that took too long to arrive.",
                 labels, number(counters.timeouts));
  writer.counter("hms_collector_http_bodies_refused_total", "Bodies over a limit.", labels,
                 number(counters.bodies_refused));
  writer.counter("hms_collector_http_replies_refused_total",
                 "Answers refused because too many bytes wait for slow readers.", labels,
                 number(counters.replies_refused));
  writer.counter("hms_collector_http_foreign_refused_total",
                 "Requests refused because a page of another origin made them.", labels,
                 number(counters.foreign_refused));
  writer.gauge("hms_collector_http_queued_reply_bytes", "Answers not yet taken by their readers.",
               labels, number(counters.queued_reply_bytes));
  writer.gauge("hms_collector_http_connections_open", "Connections open now.", labels,
               number(counters.connections_open));
}

}  // namespace hms::collector
