// template.h: the texts of labels and annotations: "{{ $labels.service_name }} fails {{ $value |
// humanizePercentage }}".
//
// A documented part of Go's templates as Prometheus rules use them: `$labels.x` (also `.Labels.x`),
// `$value` (`.Value`), texts, numbers, and pipelines of humanize, humanize1024, humanizeDuration,
// humanizePercentage, humanizeTimestamp, printf (%s %v %q %d %f %e %g with width and precision),
// toUpper, toLower, title. `{{-` and `-}}` trim. Anything else (if, range, query ...) is a fault
// when the rule file is read, never at three in the morning. Limits: 64 KiB a template, 16
// functions a pipeline; what is expanded is cut at 4 KiB. Thread: any; a Template is immutable.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/core/result.h"

namespace hms::collector {

using LabelMap = std::map<std::string, std::string>;

class Template {
 public:
  /// Errors: bad_config, "at character 14: unknown function \"humanise\"; known: ...".
  [[nodiscard]] static net::Result<Template> parse(std::string_view text);
  /// Never fails: a label that is not there is empty.
  [[nodiscard]] std::string expand(const LabelMap& labels, double value) const;
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  enum class Function : uint8_t {
    humanize,
    humanize_1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
    print_formatted,
    to_upper,
    to_lower,
    title,
  };
  struct LabelOperand {
    std::string name;
  };
  struct ValueOperand {};
  using Operand = std::variant<LabelOperand, ValueOperand, std::string, double>;
  struct Call {
    Function function = Function::humanize;
    std::vector<Operand> arguments;  // the pipeline's value comes last
  };
  struct Pipeline {
    std::vector<Operand> first;  // one operand, or none when the pipeline begins with a call
    std::vector<Call> calls;
  };
  using Part = std::variant<std::string, Pipeline>;

 private:
  std::string text_;
  std::vector<Part> parts_;
};

}  // namespace hms::collector
