#include "collector/lake/attributes_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "telemetry/text.h"

namespace hms::collector {
namespace {

using nlohmann::ordered_json;
using Kind = telemetry::AttributeValue::Kind;

void append_value(std::string& out, const StoredAttribute& attribute) {
  switch (attribute.kind) {
    case Kind::empty:
      out += "null";
      return;
    case Kind::text:
      telemetry::append_json_text(out, attribute.text);
      return;
    case Kind::boolean:
      out += attribute.boolean ? "true" : "false";
      return;
    case Kind::integer:
      out += std::to_string(attribute.integer);
      return;
    case Kind::real: {
      const size_t begin = out.size();
      telemetry::append_json_number(out, attribute.real);
      if (std::isfinite(attribute.real) && out.find_first_of(".eE", begin) == std::string::npos)
        out += ".0";
      return;
    }
    case Kind::json:
      if (ordered_json::accept(attribute.text))
        out += attribute.text;
      else
        telemetry::append_json_text(out, attribute.text);
      return;
  }
}

StoredAttribute attribute_of(std::string key, const ordered_json& value) {
  StoredAttribute out;
  out.key = std::move(key);
  out.kind = Kind::empty;
  if (value.is_string()) {
    out.kind = Kind::text;
    out.text = value.get<std::string>();
  } else if (value.is_boolean()) {
    out.kind = Kind::boolean;
    out.boolean = value.get<bool>();
  } else if (value.is_number_integer()) {
    out.kind = Kind::integer;
    out.integer = value.get<int64_t>();
  } else if (value.is_number()) {
    out.kind = Kind::real;
    out.real = value.get<double>();
  } else if (value.is_structured()) {
    out.kind = Kind::json;
    out.text = value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  }
  return out;
}

std::vector<StoredAttribute> attributes_of(const ordered_json& object) {
  std::vector<StoredAttribute> out;
  if (!object.is_object()) return out;
  for (const auto& [key, value] : object.items()) out.push_back(attribute_of(key, value));
  return out;
}

ordered_json parse(std::string_view text) {
  return text.empty() ? ordered_json() : ordered_json::parse(text, nullptr, false);
}

template <class Id>
void append_hex_field(std::string& out, std::string_view name, const Id& id) {
  out += '"';
  out += name;
  out += "\":\"";
  out += telemetry::to_hex(id);
  out += '"';
}

std::string text_of(const ordered_json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace

void append_attributes_json(std::string& out, const std::vector<StoredAttribute>& attributes) {
  out += '{';
  bool first = true;
  for (const StoredAttribute& attribute : attributes) {
    if (!first) out += ',';
    first = false;
    telemetry::append_json_text(out, attribute.key);
    out += ':';
    append_value(out, attribute);
  }
  out += '}';
}

std::string attributes_json(const std::vector<StoredAttribute>& attributes) {
  std::string out;
  append_attributes_json(out, attributes);
  return out;
}

std::vector<StoredAttribute> attributes_of_json(std::string_view text) {
  return attributes_of(parse(text));
}

bool json_may_name(std::string_view json, std::string_view key) {
  // A key without characters that JSON may escape stands there as it is.
  const bool plain = std::all_of(key.begin(), key.end(), [](char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\' && c != '/';
  });
  return !plain || json.find(key) != json.npos;
}

bool json_has_attribute(std::string_view json, std::string_view key, std::string_view text) {
  if (!json_may_name(json, key)) return false;
  const std::vector<StoredAttribute> all = attributes_of_json(json);
  return std::any_of(all.begin(), all.end(), [&](const StoredAttribute& a) {
    return a.key == key && attribute_text(a) == text;
  });
}

std::string events_json(const std::vector<StoredEvent>& events) {
  std::string out = "[";
  for (const StoredEvent& event : events) {
    if (out.size() > 1) out += ',';
    out += "{\"time_unix_nano\":" + std::to_string(event.time_unix_nanos) + ",\"name\":";
    telemetry::append_json_text(out, event.name);
    out += ",\"attributes\":";
    append_attributes_json(out, event.attributes);
    out += '}';
  }
  return out + "]";
}

std::vector<StoredEvent> events_of_json(std::string_view text) {
  std::vector<StoredEvent> out;
  if (text.size() <= 2) return out;  // most spans have none
  for (const ordered_json& item : parse(text)) {
    if (!item.is_object()) continue;
    StoredEvent& event = out.emplace_back();
    if (const auto time = item.find("time_unix_nano");
        time != item.end() && time->is_number_integer())
      event.time_unix_nanos = time->get<uint64_t>();
    event.name = text_of(item, "name");
    if (const auto it = item.find("attributes"); it != item.end())
      event.attributes = attributes_of(*it);
  }
  return out;
}

std::string links_json(const SpanLinks& links) {
  std::string out = "[";
  for (const auto& [trace, span] : links) {
    out += out.size() > 1 ? ",{" : "{";
    append_hex_field(out, "trace_id", trace);
    out += ',';
    append_hex_field(out, "span_id", span);
    out += '}';
  }
  return out + "]";
}

SpanLinks links_of_json(std::string_view text) {
  SpanLinks out;
  if (text.size() <= 2) return out;
  for (const ordered_json& item : parse(text)) {
    if (!item.is_object()) continue;
    const auto trace = telemetry::parse_trace_id(text_of(item, "trace_id"));
    const auto span = telemetry::parse_span_id(text_of(item, "span_id"));
    if (trace && span) out.emplace_back(*trace, *span);
  }
  return out;
}

}  // namespace hms::collector
