#include "collector/store/log_match.h"

#include <algorithm>

#include "collector/store/log_level.h"
#include "collector/store/stored_attribute.h"
#include "collector/store/text_fold.h"

namespace hms::collector {
namespace {

class BatchAttributes final : public LogLineAttributes {
 public:
  BatchAttributes(const telemetry::LogBatch& batch, const telemetry::LogView& log)
      : batch_(batch), log_(log) {}

  bool has(std::string_view key, std::string_view text) const override {
    return has_attribute(batch_, log_.attributes, key, text) ||
           has_attribute(batch_, batch_.resources[log_.resource].attributes, key, text);
  }
  bool any_contains(std::string_view folded) const override {
    const auto attributes = attributes_in(batch_, log_.attributes);
    return std::any_of(
        attributes.begin(), attributes.end(),
        [folded](const telemetry::Attribute& a) { return contains_folded(a.value.text, folded); });
  }

 private:
  const telemetry::LogBatch& batch_;
  const telemetry::LogView& log_;
};

bool differs(std::string_view wanted, std::string_view is) {
  return !wanted.empty() && is != wanted;
}

}  // namespace

LogMatch::LogMatch(const LogQuery& query) : query_(query) {
  query_.level = level_key(query_.level);
  query_.text = fold_text(query_.text);
  if (!query_.text.empty()) needs_.need_text(query_.text);
  if (!query_.service.empty()) needs_.need_value('s', query_.service);
  if (!query_.level.empty()) needs_.need_value('l', query_.level);
  if (!query_.severity.empty()) needs_.need_value('v', query_.severity);
  for (const auto& [key, value] : query_.attributes) needs_.need_attribute(key, value);
}

bool LogMatch::fits(const LogLine& line, const LogLineAttributes& attributes) const {
  if (differs(query_.service, line.service) || differs(query_.severity, line.severity))
    return false;
  if (!query_.level.empty() && level_key(line.level) != query_.level) return false;
  if (!query_.trace_id.is_zero() && line.trace_id != query_.trace_id) return false;
  for (const auto& [key, value] : query_.attributes) {
    if (!attributes.has(key, value)) return false;
  }
  return query_.text.empty() || contains_folded(line.message, query_.text) ||
         attributes.any_contains(query_.text);
}

bool LogMatch::fits(const telemetry::LogBatch& batch, const telemetry::LogView& log) const {
  return fits({batch.resources[log.resource].service_name, log.level, log.severity, log.message,
               log.trace_id},
              BatchAttributes(batch, log));
}

}  // namespace hms::collector
