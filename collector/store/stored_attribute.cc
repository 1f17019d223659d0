#include "collector/store/stored_attribute.h"

namespace hms::collector {
namespace {

using Kind = telemetry::AttributeValue::Kind;

std::string real_text(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (!text.empty() && text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

std::vector<StoredAttribute> stored_attributes(const telemetry::BatchStorage& batch,
                                               telemetry::AttributeRange range) {
  std::vector<StoredAttribute> out;
  out.reserve(range.end - range.begin);
  for (const telemetry::Attribute& a : attributes_in(batch, range)) {
    out.push_back({std::string(a.key), a.value.kind, std::string(a.value.text), a.value.boolean,
                   a.value.integer, a.value.real});
  }
  return out;
}

std::string attribute_text(const telemetry::AttributeValue& value) {
  switch (value.kind) {
    case Kind::empty:
      return "";
    case Kind::text:
    case Kind::json:
      return std::string(value.text);
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::real:
      return real_text(value.real);
  }
  return "";
}

std::string attribute_text(const StoredAttribute& attribute) {
  telemetry::AttributeValue value;
  value.kind = attribute.kind;
  value.text = attribute.text;
  value.boolean = attribute.boolean;
  value.integer = attribute.integer;
  value.real = attribute.real;
  return attribute_text(value);
}

bool has_attribute(const telemetry::BatchStorage& batch, telemetry::AttributeRange range,
                   std::string_view key, std::string_view text) {
  for (const telemetry::Attribute& a : attributes_in(batch, range)) {
    if (a.key != key) continue;
    const bool textual = a.value.kind == Kind::text || a.value.kind == Kind::json;
    if (textual ? a.value.text == text : attribute_text(a.value) == text) return true;
  }
  return false;
}

}  // namespace hms::collector
