#include "collector/api/attribute_json.h"

#include <nlohmann/json.hpp>

namespace hms::collector {

nlohmann::json attribute_value_json(const StoredAttribute& attribute) {
  using Kind = telemetry::AttributeValue::Kind;
  switch (attribute.kind) {
    case Kind::boolean:
      return attribute.boolean;
    case Kind::integer:
      return attribute.integer;
    case Kind::real:
      return attribute.real;
    case Kind::empty:
    case Kind::text:
    case Kind::json:
      break;
  }
  return attribute.text;
}

}  // namespace hms::collector
