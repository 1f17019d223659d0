#include "collector/ingest/ingest_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "collector/ingest/ingest_item.h"
#include "collector/ingest/json_items.h"
#include "collector/store/series_bounds.h"
#include "net/core/time_units.h"
#include "telemetry/time_text.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
using nlohmann::json;

constexpr uint64_t kMaxItems = 200'000;

/// The library's sentence without its own preface: "... - invalid literal; last read: 'x'" gives
/// "invalid literal; last read: 'x'".
std::string reason_of(const char* what) {
  std::string text = what;
  for (const char* marker : {" - ", ": "}) {
    if (const size_t at = text.find(marker); at != std::string::npos) {
      text.erase(0, at + std::char_traits<char>::length(marker));
      break;
    }
  }
  if (text.size() > 200) text.resize(200);
  return text;
}

struct ItemFault {
  bool is_json = false;  // right by JSON's grammar, but not to be held: the item's fault alone
  NotJson place;
};

std::optional<ItemFault> parse_item(const JsonItems::Item& item, json& out) {
  // The library takes a NUL for the end of its input, and would leave out what is behind it unseen.
  if (const size_t nul = item.text.find('\0'); nul != std::string_view::npos)
    return ItemFault{false, {item.offset + nul, "a NUL"}};
  try {
    out = json::parse(item.text.begin(), item.text.end());
    return std::nullopt;
  } catch (const json::parse_error& error) {
    const uint64_t read = error.byte == 0 ? 0 : error.byte - 1;
    return ItemFault{false, {item.offset + read, reason_of(error.what())}};
  } catch (const json::exception&) {
    return ItemFault{true, {item.offset, "a number is beyond 1.8e308, the range of a double"}};
  }
}

void reject(ParsedIngest& out, uint64_t index, std::string field, std::string error) {
  ++out.rejected;
  if (out.faults.size() < ParsedIngest::kMaxReported)
    out.faults.push_back({index, std::move(field), std::move(error)});
}

Error not_json_error(NotJson fault, NotJson* told) {
  Error error{
      Code::bad_message, net::Side::downstream, false,
      "the body is not JSON: it stops at byte " + std::to_string(fault.byte) + ": " + fault.reason};
  if (told != nullptr) *told = std::move(fault);
  return error;
}

}  // namespace

TimeBounds TimeBounds::around(uint64_t now, uint32_t retention_days) noexcept {
  const int64_t oldest =
      oldest_kept_millis(static_cast<int64_t>(now / net::kNanosPerMilli), retention_days);
  return {now, static_cast<uint64_t>(std::max<int64_t>(oldest, 0)) * net::kNanosPerMilli,
          now + net::kNanosPerDay};
}

std::string TimeBounds::oldest_day() const {
  return telemetry::rfc3339(static_cast<int64_t>(oldest / net::kNanosPerMilli)).substr(0, 10);
}

Result<ParsedIngest> parse_ingest(std::string_view body, const TimeBounds& bounds,
                                  MetricBounds& metrics, NotJson* not_json) {
  ParsedIngest out;
  ItemReader reader(out, bounds, metrics);
  JsonItems items(body);
  std::optional<NotJson> first_fault;
  uint64_t index = 0, parsed = 0;
  while (const auto item = items.next()) {
    if (index >= kMaxItems) {
      return Error{Code::too_large, net::Side::downstream, false,
                   "more than " + std::to_string(kMaxItems) + " items in one request"};
    }
    if (item->fault != nullptr) {
      ++parsed;
      reject(out, index++, "", item->fault);
      continue;
    }
    json value;
    if (auto fault = parse_item(*item, value)) {
      if (fault->is_json) {
        ++parsed;
        reject(out, index++, "", std::move(fault->place.reason));
        continue;
      }
      if (items.form() != JsonItems::Form::lines)
        return not_json_error(std::move(fault->place), not_json);
      reject(out, index++, "",
             "not JSON: it stops at byte " + std::to_string(fault->place.byte) +
                 " of the body: " + fault->place.reason);
      if (!first_fault) first_fault = std::move(fault->place);
      continue;
    }
    ++parsed;
    if (auto fault = reader.add(value))
      reject(out, index, std::move(fault->field), std::move(fault->error));
    else
      ++out.accepted;
    ++index;
  }
  if (items.fault() != nullptr)
    return not_json_error({items.fault_offset(), items.fault()}, not_json);
  if (parsed == 0 && first_fault) return not_json_error(std::move(*first_fault), not_json);
  return out;
}

}  // namespace hms::collector
