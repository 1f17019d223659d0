#include "collector/api/ledger_api.h"

#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

using nlohmann::json;

json batches_of(const SenderLedger& row) {
  return {{"received", row.batches_received},
          {"stored", row.batches_stored},
          {"repeated", row.batches_repeated},
          {"missing", row.batches_missing}};
}
json records_of(const SenderLedger& row) {
  return {{"received", row.records_received},
          {"stored", row.records_stored},
          {"repeated", row.records_repeated}};
}

void add(SenderLedger& sum, const SenderLedger& row) {
  sum.batches_received += row.batches_received;
  sum.batches_stored += row.batches_stored;
  sum.batches_repeated += row.batches_repeated;
  sum.batches_missing += row.batches_missing;
  sum.records_received += row.records_received;
  sum.records_stored += row.records_stored;
  sum.records_repeated += row.records_repeated;
  for (const auto& [reason, count] : row.dropped) sum.dropped[reason] += count;
}

std::string ledger_body(const std::vector<SenderLedger>& rows) {
  SenderLedger totals;
  auto senders = json::array();
  for (const auto& row : rows) {
    add(totals, row);
    senders.push_back({{"instance", row.instance},
                       {"service", row.service},
                       {"boot", row.boot},
                       {"batches", batches_of(row)},
                       {"records", records_of(row)},
                       {"dropped", json(row.dropped)},
                       {"last_sequence", row.last_sequence},
                       {"last_seen", row.last_seen_unix_nanos / 1'000'000}});
  }
  const json reply{{"senders", std::move(senders)},
                   {"totals",
                    {{"batches", batches_of(totals)},
                     {"records", records_of(totals)},
                     {"dropped", json(totals.dropped)}}}};
  return reply.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

void register_ledger_api(net::HttpServer& server, const StorageEngine& engine) {
  server.route("GET", "/ops/ledger", [&engine](net::Request&, const net::ReplyPtr& reply) {
    reply->send(200, "application/json", ledger_body(engine.ledger()));
  });
}

}  // namespace hms::collector
