// prom_text.cc: Prometheus text 0.0.4 and OpenMetrics 1.0.
//
// Names: opentelemetry-specification compatibility/prometheus_and_openmetrics.md (unit suffixes as
// the Prometheus translator has them).
#include "telemetry/prom_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "telemetry/text.h"

namespace hms::telemetry {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::array<Pair, 28> kUnits = {
    {{"d", "days"},          {"h", "hours"},         {"min", "minutes"},    {"s", "seconds"},
     {"ms", "milliseconds"}, {"us", "microseconds"}, {"ns", "nanoseconds"}, {"By", "bytes"},
     {"KiBy", "kibibytes"},  {"MiBy", "mebibytes"},  {"GiBy", "gibibytes"}, {"TiBy", "tibibytes"},
     {"KBy", "kilobytes"},   {"MBy", "megabytes"},   {"GBy", "gigabytes"},  {"TBy", "terabytes"},
     {"kBy", "kilobytes"},   {"m", "meters"},        {"V", "volts"},        {"A", "amperes"},
     {"J", "joules"},        {"W", "watts"},         {"g", "grams"},        {"Cel", "celsius"},
     {"Hz", "hertz"},        {"%", "percent"},       {"bit", "bits"},       {"mo", "months"}}};
constexpr std::array<Pair, 7> kPerUnits = {{{"s", "second"},
                                            {"m", "minute"},
                                            {"min", "minute"},
                                            {"h", "hour"},
                                            {"d", "day"},
                                            {"w", "week"},
                                            {"mo", "month"}}};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Anything but letters, digits, '_' (and ':' if allowed) becomes '_'; runs of '_' become one.
std::string sanitized(std::string_view text, bool colon) {
  std::string out;
  out.reserve(text.size() + 1);
  for (const char c : text) {
    const char kept = is_letter(c) || is_digit(c) || (colon && c == ':') ? c : '_';
    if (kept == '_' && !out.empty() && out.back() == '_') continue;
    out += kept;
  }
  return out;
}

template <size_t n>
std::string_view look_up(const std::array<Pair, n>& table, std::string_view unit) {
  for (const auto& [key, name] : table) {
    if (key == unit) return name;
  }
  return {};
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// "By/s" -> "bytes_per_second"; annotations in braces say nothing; unknown units stand for
/// themselves.
std::string unit_suffix(std::string_view unit, bool counter) {
  unit = trimmed(unit);
  if (unit == "1") return counter ? "" : "ratio";
  std::string_view whole = unit, per;
  if (const size_t slash = unit.find('/'); slash != std::string_view::npos) {
    whole = trimmed(unit.substr(0, slash));
    per = trimmed(unit.substr(slash + 1));
  }
  const auto word = [](const auto& table, std::string_view part) -> std::string {
    if (part.empty() || part.find('{') != std::string_view::npos) return {};
    const auto known = look_up(table, part);
    std::string text = known.empty() ? sanitized(part, false) : std::string(known);
    while (!text.empty() && text.back() == '_') text.pop_back();
    while (!text.empty() && text.front() == '_') text.erase(0, 1);
    return text;
  };
  std::string out = whole == "1" ? "" : word(kUnits, whole);
  if (const std::string below = word(kPerUnits, per); !below.empty())
    out += (out.empty() ? "per_" : "_per_") + below;
  return out;
}

std::string_view without_total(std::string_view name) {
  constexpr std::string_view kTotal = "_total";
  return name.ends_with(kTotal) ? name.substr(0, name.size() - kTotal.size()) : name;
}

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char digits[32];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  const std::string repaired = is_valid_utf8(text) ? std::string() : repaired_utf8(text);
  for (const char c : repaired.empty() ? text : std::string_view(repaired)) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

void append_sample(std::string& out, std::string_view name, std::string_view suffix,
                   const Labels& labels, std::string_view bound, double value) {
  out += name;
  out += suffix;
  if (!labels.empty() || !bound.empty()) {
    char separator = '{';
    for (const auto& [key, text] : labels) {
      out += separator;
      separator = ',';
      out += key;
      out += "=\"";
      append_escaped(out, text, true);
      out += '"';
    }
    if (!bound.empty()) {
      out += separator;
      out += "le=\"";
      out += bound;
      out += '"';
    }
    out += '}';
  }
  out += ' ';
  append_number(out, value);
  out += '\n';
}

/// Semantic conventions 1.x, http.server.request.duration.
struct Bound {
  double value;
  std::string_view text, openmetrics;
};
constexpr std::array<Bound, 14> kBounds = {{{0.005, "0.005", "0.005"},
                                            {0.01, "0.01", "0.01"},
                                            {0.025, "0.025", "0.025"},
                                            {0.05, "0.05", "0.05"},
                                            {0.075, "0.075", "0.075"},
                                            {0.1, "0.1", "0.1"},
                                            {0.25, "0.25", "0.25"},
                                            {0.5, "0.5", "0.5"},
                                            {0.75, "0.75", "0.75"},
                                            {1, "1", "1.0"},
                                            {2.5, "2.5", "2.5"},
                                            {5, "5", "5.0"},
                                            {7.5, "7.5", "7.5"},
                                            {10, "10", "10.0"}}};

/// Observations counted at or below `bound`: a bucket across it goes to the side its middle is on,
/// so that the count never falls with time.
uint64_t count_at_most(const Histogram& histogram, double bound) {
  uint64_t count = histogram.zero_count;
  for (const auto& bucket : histogram.negative) count += bucket.count;
  for (const auto& bucket : histogram.positive) {
    const double lower = bucket_upper_bound(bucket.index - 1, histogram.scale),
                 upper = bucket_upper_bound(bucket.index, histogram.scale);
    if (std::sqrt(lower) * std::sqrt(upper) > bound) break;
    count += bucket.count;
  }
  return count;
}

/// q of a media range, in thousandths; 1000 when not given.
int quality(std::string_view range) {
  const size_t at = range.find(";q=") != std::string_view::npos    ? range.find(";q=") + 3
                    : range.find("; q=") != std::string_view::npos ? range.find("; q=") + 4
                                                                   : std::string_view::npos;
  if (at == std::string_view::npos) return 1000;
  double value = 0;
  std::from_chars(range.data() + at, range.data() + range.size(), value);
  return static_cast<int>(std::clamp(value, 0.0, 1.0) * 1000);
}

}  // namespace

std::string prometheus_metric_name(std::string_view name, std::string_view unit, bool counter) {
  std::string out = sanitized(counter ? without_total(name) : name, true);
  while (out.size() > 1 && out.back() == '_') out.pop_back();
  if (out.empty()) out = "_";
  if (is_digit(out.front())) out.insert(0, 1, '_');
  const std::string suffix = unit_suffix(unit, counter);
  if (!suffix.empty() && !out.ends_with("_" + suffix) && out != suffix) out += "_" + suffix;
  if (counter) out += "_total";
  return out;
}

std::string prometheus_label_name(std::string_view key) {
  std::string out = sanitized(key, false);
  if (out.empty()) return "_";
  if (is_digit(out.front())) out.insert(0, "key_");
  return out;
}

PromWriter::Family& PromWriter::family(std::string_view name, std::string_view help,
                                       std::string_view type) {
  for (Family& known : families_) {
    if (known.name == name) return known;
  }
  return families_.emplace_back(
      Family{std::string(name), std::string(help), std::string(type), {}});
}

void PromWriter::counter(std::string_view name, std::string_view help, const Labels& labels,
                         double value) {
  const std::string_view base = without_total(name);
  append_sample(family(base, help, "counter").lines, base, "_total", labels, {}, value);
}

void PromWriter::gauge(std::string_view name, std::string_view help, const Labels& labels,
                       double value) {
  append_sample(family(name, help, "gauge").lines, name, {}, labels, {}, value);
}

void PromWriter::histogram(std::string_view name, std::string_view help, const Labels& labels,
                           const Histogram& value) {
  std::string& lines = family(name, help, "histogram").lines;
  for (const Bound& bound : kBounds) {
    append_sample(lines, name, "_bucket", labels,
                  format_ == Format::openmetrics ? bound.openmetrics : bound.text,
                  static_cast<double>(count_at_most(value, bound.value)));
  }
  append_sample(lines, name, "_bucket", labels, "+Inf", static_cast<double>(value.count));
  append_sample(lines, name, "_sum", labels, {}, value.sum);
  append_sample(lines, name, "_count", labels, {}, static_cast<double>(value.count));
}

std::string PromWriter::finish() {
  std::string out;
  for (const Family& family : families_) {
    // OpenMetrics names a counter's family without `_total`, the older text form with it.
    const std::string shown =
        family.type == "counter" && format_ == Format::text ? family.name + "_total" : family.name;
    if (!family.help.empty()) {
      out += "# HELP " + shown + " ";
      append_escaped(out, family.help, format_ == Format::openmetrics);
      out += '\n';
    }
    out += "# TYPE " + shown + " " + family.type + "\n" + family.lines;
  }
  if (format_ == Format::openmetrics) out += "# EOF\n";
  families_.clear();
  return out;
}

PromWriter::Format PromWriter::negotiate(std::string_view accept) noexcept {
  int openmetrics = -1, text = -1;
  while (!accept.empty()) {
    const size_t comma = accept.find(',');
    const std::string_view range = trimmed(accept.substr(0, comma));
    accept = comma == std::string_view::npos ? std::string_view() : accept.substr(comma + 1);
    const std::string_view type = trimmed(range.substr(0, range.find(';')));
    if (type == "application/openmetrics-text") openmetrics = std::max(openmetrics, quality(range));
    if (type == "text/plain") text = std::max(text, quality(range));
  }
  return openmetrics > 0 && openmetrics >= text ? Format::openmetrics : Format::text;
}

std::string_view PromWriter::content_type(Format format) noexcept {
  return format == Format::openmetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

}  // namespace hms::telemetry
