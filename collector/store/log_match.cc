#include "collector/store/log_match.h"

#include <algorithm>
#include <cstring>

#include "collector/store/log_level.h"
#include "collector/store/stored_attribute.h"

namespace hms::collector {
namespace {

/// `needle` is folded already. Goes from one possible first byte to the next.
bool contains_folded(std::string_view text, std::string_view needle) {
  if (needle.size() > text.size()) return false;
  const size_t last = text.size() - needle.size();
  const char first = needle.front();
  for (size_t at = 0; at <= last; ++at) {
    if (fold(text[at]) != first) continue;
    size_t i = 1;
    while (i < needle.size() && fold(text[at + i]) == needle[i]) ++i;
    if (i == needle.size()) return true;
  }
  return false;
}

bool any_attribute_contains(const telemetry::LogBatch& batch, telemetry::AttributeRange range,
                            std::string_view needle) {
  const auto attributes = attributes_in(batch, range);
  return std::any_of(attributes.begin(), attributes.end(), [needle](const telemetry::Attribute& a) {
    return contains_folded(a.value.text, needle);
  });
}

}  // namespace

LogMatch::LogMatch(const LogQuery& query) : query_(query) {
  query_.level = level_key(query_.level);
  std::transform(query_.text.begin(), query_.text.end(), query_.text.begin(), fold);
  if (!query_.text.empty()) needs_.need_text(query_.text);
  if (!query_.service.empty()) needs_.need_value('s', query_.service);
  if (!query_.level.empty()) needs_.need_value('l', query_.level);
  if (!query_.severity.empty()) needs_.need_value('v', query_.severity);
  for (const auto& [key, value] : query_.attributes) needs_.need_attribute(key, value);
}

bool LogMatch::fits(const telemetry::LogBatch& batch, const telemetry::LogView& log) const {
  const telemetry::ResourceView& resource = batch.resources[log.resource];
  if (!query_.service.empty() && resource.service_name != query_.service) return false;
  if (!query_.level.empty() && level_key(log.level) != query_.level) return false;
  if (!query_.severity.empty() && log.severity != query_.severity) return false;
  if (!query_.trace_id.is_zero() && log.trace_id != query_.trace_id) return false;
  for (const auto& [key, value] : query_.attributes) {
    if (!has_attribute(batch, log.attributes, key, value) &&
        !has_attribute(batch, resource.attributes, key, value))
      return false;
  }
  return query_.text.empty() || text_fits(batch, log);
}

bool LogMatch::text_fits(const telemetry::LogBatch& batch, const telemetry::LogView& log) const {
  return contains_folded(log.message, query_.text) ||
         any_attribute_contains(batch, log.attributes, query_.text);
}

}  // namespace hms::collector
