// record.cc: decisions as JSON.
#include "collector/canary/record.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ordered_json counts_json(const VersionCounts& counts) {
  ordered_json out;
  out["requests"] = counts.requests;
  out["errors"] = counts.errors;
  out["p99_ms"] = std::isfinite(counts.p99_ms) ? std::round(counts.p99_ms * 100) / 100 : 0;
  return out;
}

VersionCounts counts_of(const json& from, const char* key) {
  VersionCounts counts;
  const auto at = from.find(key);
  if (at == from.end() || !at->is_object()) return counts;
  counts.requests = at->value("requests", uint64_t{0});
  counts.errors = at->value("errors", uint64_t{0});
  counts.p99_ms = at->value("p99_ms", 0.0);
  return counts;
}

}  // namespace

ordered_json decision_json(const CanaryDecision& decision) {
  ordered_json out;
  out["ts"] = decision.ts_millis;
  out["weight"] = decision.weight;
  out["verdict"] = verdict_name(decision.verdict);
  out["reason"] = decision.reason;
  out["baseline"] = counts_json(decision.baseline);
  out["canary"] = counts_json(decision.canary);
  return out;
}

net::Result<CanaryDecision> decision_from_json(const json& from) {
  const net::Error fault{net::Code::corrupt, net::Side::self, false,
                         "stored canary record: not in its form"};
  if (!from.is_object()) return fault;
  try {
    CanaryDecision decision;
    decision.ts_millis = from.at("ts").get<int64_t>();
    decision.weight = from.at("weight").get<int>();
    decision.reason = from.at("reason").get<std::string>();
    const auto verdict = from.at("verdict").get<std::string>();
    decision.verdict = verdict == "advance"    ? Verdict::Kind::advance
                       : verdict == "rollback" ? Verdict::Kind::rollback
                                               : Verdict::Kind::hold;
    decision.baseline = counts_of(from, "baseline");
    decision.canary = counts_of(from, "canary");
    return decision;
  } catch (const json::exception&) {
    return fault;
  }
}

}  // namespace hms::collector
