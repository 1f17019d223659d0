// yaml_values.cc: the scalars of YamlNode: numbers, durations, sizes, fractions, choices.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "net/core/yaml_impl.h"
#include "net/core/yaml_reader.h"

namespace hms::net {
namespace {

using Kind = YamlTreeNode::Kind;

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array kDurationUnits{Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000},
                                    Unit{"h", 3'600'000}, Unit{"d", 86'400'000}};
constexpr std::array kSizeUnits{Unit{"B", 1},
                                Unit{"kB", 1000},
                                Unit{"MB", 1'000'000},
                                Unit{"GB", 1'000'000'000},
                                Unit{"KiB", 1024},
                                Unit{"MiB", 1024 * 1024},
                                Unit{"GiB", 1024 * 1024 * 1024}};

/// The whole of `text` as a number.
template <class Number>
std::optional<Number> parse_whole(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_decimal(std::string_view text) {
  const auto value = parse_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

struct Quantity {
  std::string_view number;
  std::string_view unit;
};

/// "1.5 s" and "1.5s" into number and unit.
Quantity split_unit(std::string_view text) {
  size_t end = 0;
  while (end < text.size() &&
         ((text[end] >= '0' && text[end] <= '9') || text[end] == '.' || text[end] == '-'))
    ++end;
  Quantity parts{text.substr(0, end), text.substr(end)};
  while (!parts.unit.empty() && parts.unit[0] == ' ') parts.unit.remove_prefix(1);
  return parts;
}

/// `number` units in the smallest unit; nothing if it is no whole number of them or too large for
/// 63 bits.
std::optional<uint64_t> scaled(std::string_view number, uint64_t factor) {
  constexpr double kMost = 9.0e18;
  if (const auto whole = parse_whole<uint64_t>(number)) {
    uint64_t product = 0;
    if (__builtin_mul_overflow(*whole, factor, &product) || static_cast<double>(product) > kMost)
      return std::nullopt;
    return product;
  }
  const auto decimal = parse_decimal(number);
  if (!decimal || *decimal < 0) return std::nullopt;
  const double product = *decimal * static_cast<double>(factor);
  const double rounded = std::round(product);
  if (product > kMost || std::abs(product - rounded) > 1e-6) return std::nullopt;
  return static_cast<uint64_t>(rounded);
}

std::string decimal_text(double value) {
  char text[40];
  const auto [end, error] = std::to_chars(text, text + sizeof(text), value);
  return error == std::errc() ? std::string(text, end) : std::string("?");
}

/// In the largest unit that divides it.
std::string duration_text(Millis value) {
  const auto millis = static_cast<uint64_t>(std::max<int64_t>(value.count(), 0));
  for (size_t i = kDurationUnits.size(); i-- > 0;) {
    const Unit& unit = kDurationUnits[i];
    if (millis != 0 && millis % unit.factor == 0)
      return std::to_string(millis / unit.factor) + std::string(unit.name);
  }
  return std::to_string(millis) + "ms";
}

std::string size_text(uint64_t value) {
  for (const size_t i : {size_t{6}, size_t{5}, size_t{4}}) {
    const Unit& unit = kSizeUnits[i];
    if (value != 0 && value % unit.factor == 0)
      return std::to_string(value / unit.factor) + std::string(unit.name);
  }
  return std::to_string(value) + "B";
}

std::string out_of_range(std::string_view found, const std::string& least,
                         const std::string& most) {
  return "must be from " + least + " to " + most + ", found " + yaml_quoted(found);
}

}  // namespace

bool YamlNode::read(std::string& target) const {
  if (impl_ == nullptr || !impl_->expect(Kind::scalar)) return false;
  target = impl_->node->text;
  return true;
}

bool YamlNode::read(bool& target) const {
  std::string text;
  if (!read(text)) return false;
  if (text == "true" || text == "false") {
    target = text == "true";
    return true;
  }
  fail("expected true or false, found " + yaml_quoted(text));
  return false;
}

bool YamlNode::read_integer(int64_t& target, int64_t least, int64_t most) const {
  std::string text;
  if (!read(text)) return false;
  const auto value = parse_whole<int64_t>(text);
  if (!value) {
    fail("expected a whole number from " + std::to_string(least) + " to " + std::to_string(most) +
         ", found " + yaml_quoted(text));
    return false;
  }
  if (*value < least || *value > most) {
    fail(out_of_range(text, std::to_string(least), std::to_string(most)));
    return false;
  }
  target = *value;
  return true;
}

bool YamlNode::read_number(double& target, double least, double most) const {
  std::string text;
  if (!read(text)) return false;
  const auto value = parse_decimal(text);
  if (!value) {
    fail("expected a number from " + decimal_text(least) + " to " + decimal_text(most) +
         ", found " + yaml_quoted(text));
    return false;
  }
  if (*value < least || *value > most) {
    fail(out_of_range(text, decimal_text(least), decimal_text(most)));
    return false;
  }
  target = *value;
  return true;
}

bool YamlNode::read_duration(Millis& target, Millis least, Millis most) const {
  std::string text;
  if (!read(text)) return false;
  const Quantity parts = split_unit(text);
  for (const Unit& unit : kDurationUnits) {
    if (parts.unit != unit.name) continue;
    const auto millis = scaled(parts.number, unit.factor);
    if (!millis) break;
    const Millis value(static_cast<int64_t>(*millis));
    if (value < least || value > most) {
      fail(out_of_range(text, duration_text(least), duration_text(most)));
      return false;
    }
    target = value;
    return true;
  }
  fail("expected a duration with its unit (ms, s, m, h or d), such as 250ms or 15s, found " +
       yaml_quoted(text));
  return false;
}

bool YamlNode::read_size(uint64_t& target, uint64_t least, uint64_t most) const {
  std::string text;
  if (!read(text)) return false;
  const Quantity parts = split_unit(text);
  for (const Unit& unit : kSizeUnits) {
    if (parts.unit != unit.name && !(parts.unit.empty() && unit.factor == 1)) continue;
    const auto bytes = scaled(parts.number, unit.factor);
    if (!bytes) break;
    if (*bytes < least || *bytes > most) {
      fail(out_of_range(text, size_text(least), size_text(most)));
      return false;
    }
    target = *bytes;
    return true;
  }
  fail(
      "expected a size in bytes or with a unit (B, kB, MB, GB, KiB, MiB, GiB), such as 64KiB, "
      "found " +
      yaml_quoted(text));
  return false;
}

bool YamlNode::read_fraction(double& target, double least, double most) const {
  std::string text;
  if (!read(text)) return false;
  std::string_view number = text;
  const bool percent = number.ends_with('%');
  if (percent) number.remove_suffix(1);
  const auto value = parse_decimal(number);
  if (!value) {
    fail("expected a share such as 20% or 0.2, found " + yaml_quoted(text));
    return false;
  }
  const double fraction = percent ? *value / 100 : *value;
  if (fraction < least || fraction > most) {
    fail(out_of_range(text, decimal_text(least * 100) + "%", decimal_text(most * 100) + "%"));
    return false;
  }
  target = fraction;
  return true;
}

bool YamlNode::read_choice(std::string& target,
                           std::initializer_list<std::string_view> allowed) const {
  std::string text;
  if (!read(text)) return false;
  std::string list;
  for (const std::string_view choice : allowed) {
    if (text == choice) {
      target = text;
      return true;
    }
    if (!list.empty()) list += ", ";
    list += choice;
  }
  fail("expected one of " + list + ", found " + yaml_quoted(text));
  return false;
}

}  // namespace hms::net
