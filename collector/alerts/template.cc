// template.cc: parse once, expand often.
#include "collector/alerts/template.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "collector/alerts/template_functions.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxTemplateBytes = 64 * 1024;
constexpr size_t kMaxExpandedBytes = 4096;
constexpr size_t kMaxCalls = 16;

struct FunctionEntry {
  std::string_view name;
  Template::Function function;
  size_t least_arguments, most_arguments;  // with the pipeline's value
};
constexpr std::array<FunctionEntry, 9> kFunctions = {{
    {"humanize", Template::Function::humanize, 1, 1},
    {"humanize1024", Template::Function::humanize_1024, 1, 1},
    {"humanizeDuration", Template::Function::humanize_duration, 1, 1},
    {"humanizePercentage", Template::Function::humanize_percentage, 1, 1},
    {"humanizeTimestamp", Template::Function::humanize_timestamp, 1, 1},
    {"printf", Template::Function::print_formatted, 1, 9},
    {"toUpper", Template::Function::to_upper, 1, 1},
    {"toLower", Template::Function::to_lower, 1, 1},
    {"title", Template::Function::title, 1, 1},
}};

// --- parsing

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Reader {
 public:
  Reader(std::string_view text, size_t offset) : text_(text), offset_(offset) {}

  std::optional<Template::Pipeline> pipeline() {
    Template::Pipeline pipeline;
    if (!command(pipeline, true)) return std::nullopt;
    while (blanks(), at_ < text_.size()) {
      if (text_[at_] != '|')
        return fail("expected | or }}, found \"" + std::string(text_.substr(at_, 20)) + "\""),
               std::nullopt;
      ++at_;
      if (pipeline.calls.size() >= kMaxCalls)
        return fail("a pipeline has at most 16 functions"), std::nullopt;
      if (!command(pipeline, false)) return std::nullopt;
    }
    return pipeline;
  }

  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  bool fail(const std::string& sentence) {
    if (error_.empty())
      error_ = "at character " + std::to_string(offset_ + at_ + 1) + ": " + sentence;
    return false;
  }

  void blanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
  }

  bool command(Template::Pipeline& pipeline, bool first) {
    blanks();
    if (at_ == text_.size()) return fail("expected a value or a function");
    if (is_name_character(text_[at_]) && !(text_[at_] >= '0' && text_[at_] <= '9'))
      return call(pipeline, first);
    if (!first) return fail("expected a function after |");
    auto value = operand();
    if (!value) return false;
    pipeline.first.push_back(std::move(*value));
    return true;
  }

  bool call(Template::Pipeline& pipeline, bool first) {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name_character(text_[at_])) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    const auto* entry = std::find_if(kFunctions.begin(), kFunctions.end(),
                                     [&](const auto& known) { return known.name == name; });
    if (entry == kFunctions.end()) {
      at_ = begin;
      std::string names;
      for (const auto& known : kFunctions)
        names += (names.empty() ? "" : ", ") + std::string(known.name);
      return fail("unknown function \"" + std::string(name) + "\"; known: " + names);
    }
    Template::Call made;
    made.function = entry->function;
    while (blanks(), at_ < text_.size() && text_[at_] != '|') {
      auto value = operand();
      if (!value) return false;
      made.arguments.push_back(std::move(*value));
    }
    const size_t given = made.arguments.size() + (first ? 0 : 1);
    if (given < entry->least_arguments || given > entry->most_arguments) {
      return fail(std::string(name) + " takes " + std::to_string(entry->least_arguments) +
                  (entry->most_arguments == entry->least_arguments
                       ? ""
                       : " to " + std::to_string(entry->most_arguments)) +
                  " values, found " + std::to_string(given));
    }
    if (made.function == Template::Function::print_formatted && !check_format(made)) return false;
    pipeline.calls.push_back(std::move(made));
    return true;
  }

  bool check_format(const Template::Call& made) {
    if (made.arguments.empty() || !std::holds_alternative<std::string>(made.arguments[0]))
      return fail("printf takes its format as a text first");
    const std::string problem = format_fault(std::get<std::string>(made.arguments[0]));
    return problem.empty() || fail("printf: " + problem);
  }

  std::optional<Template::Operand> operand() {
    const char c = text_[at_];
    if (c == '$') return variable();
    if (c == '.') return field();
    if (c == '"' || c == '`') return quoted(c);
    if ((c >= '0' && c <= '9') || c == '-' || c == '+') return number();
    fail("expected $labels.name, $value, a text or a number, found \"" +
         std::string(text_.substr(at_, 20)) + "\"");
    return std::nullopt;
  }

  std::optional<Template::Operand> variable() {
    if (text_.substr(at_).starts_with("$labels.")) {
      at_ += 8;
      return label_name();
    }
    if (text_.substr(at_).starts_with("$value") &&
        (at_ + 6 == text_.size() || !is_name_character(text_[at_ + 6]))) {
      at_ += 6;
      return Template::ValueOperand{};
    }
    fail("unknown variable \"" + std::string(text_.substr(at_, 20)) +
         "\"; known: $labels.name, $value");
    return std::nullopt;
  }

  std::optional<Template::Operand> field() {
    if (text_.substr(at_).starts_with(".Labels.")) {
      at_ += 8;
      return label_name();
    }
    if (text_.substr(at_).starts_with(".Value") &&
        (at_ + 6 == text_.size() || !is_name_character(text_[at_ + 6]))) {
      at_ += 6;
      return Template::ValueOperand{};
    }
    fail("unknown field \"" + std::string(text_.substr(at_, 20)) +
         "\"; known: .Labels.name, .Value");
    return std::nullopt;
  }

  std::optional<Template::Operand> label_name() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name_character(text_[at_])) ++at_;
    if (begin == at_) {
      fail("expected a label's name after the point");
      return std::nullopt;
    }
    return Template::LabelOperand{std::string(text_.substr(begin, at_ - begin))};
  }

  std::optional<Template::Operand> quoted(char mark) {
    std::string value;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == mark) {
        ++at_;
        return value;
      }
      if (text_[at_] == '\\' && mark == '"' && at_ + 1 < text_.size()) {
        ++at_;
        value += text_[at_] == 'n' ? '\n' : text_[at_] == 't' ? '\t' : text_[at_];
      } else {
        value += text_[at_];
      }
    }
    fail("a text is not closed");
    return std::nullopt;
  }

  std::optional<Template::Operand> number() {
    const size_t begin = text_[at_] == '+' ? at_ + 1 : at_;
    double value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + begin, text_.data() + text_.size(), value);
    if (error != std::errc()) {
      fail("expected a number");
      return std::nullopt;
    }
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  std::string_view text_;
  size_t offset_;
  size_t at_ = 0;
  std::string error_;
};

void trim_end(std::string& text) {
  while (!text.empty() &&
         (text.back() == ' ' || text.back() == '\n' || text.back() == '\t' || text.back() == '\r'))
    text.pop_back();
}

net::Error fault(std::string detail) {
  return {net::Code::bad_config, net::Side::self, false, std::move(detail)};
}

/// Where the closing braces of an action are: not those within a text.
size_t find_close(std::string_view text, size_t from) {
  char inside = 0;
  for (size_t at = from; at + 1 < text.size(); ++at) {
    const char c = text[at];
    if (inside != 0) {
      if (c == '\\' && inside == '"') {
        ++at;
      } else if (c == inside) {
        inside = 0;
      }
    } else if (c == '"' || c == '`') {
      inside = c;
    } else if (c == '}' && text[at + 1] == '}') {
      return at;
    }
  }
  return std::string_view::npos;
}

}  // namespace

net::Result<Template> Template::parse(std::string_view text) {
  if (text.size() > kMaxTemplateBytes) return fault("a template has at most 64 KiB");
  Template made;
  made.text_ = text;
  size_t at = 0;
  bool trim_next = false;
  while (at < text.size()) {
    const size_t open = text.find("{{", at);
    std::string literal(text.substr(at, open == std::string_view::npos ? open : open - at));
    if (trim_next) literal.erase(0, std::min(literal.find_first_not_of(" \n\t\r"), literal.size()));
    trim_next = false;
    if (open == std::string_view::npos) {
      made.parts_.emplace_back(std::move(literal));
      break;
    }
    size_t begin = open + 2;
    if (text.substr(begin).starts_with("- ")) {
      trim_end(literal);
      ++begin;
    }
    if (!literal.empty()) made.parts_.emplace_back(std::move(literal));
    const size_t close = find_close(text, begin);
    if (close == std::string_view::npos)
      return fault("at character " + std::to_string(open + 1) + ": {{ without }}");
    size_t end = close;
    if (end >= begin + 2 && text.substr(end - 2, 2) == " -") {
      end -= 2;
      trim_next = true;
    }
    Reader reader(text.substr(begin, end - begin), begin);
    auto pipeline = reader.pipeline();
    if (!pipeline) return fault(reader.error());
    made.parts_.emplace_back(std::move(*pipeline));
    at = close + 2;
  }
  return made;
}

std::string Template::expand(const LabelMap& labels, double value) const {
  const auto evaluate = [&](const Operand& operand) -> TemplateValue {
    if (const auto* label = std::get_if<LabelOperand>(&operand)) {
      const auto at = labels.find(label->name);
      return at == labels.end() ? std::string() : at->second;
    }
    if (std::holds_alternative<ValueOperand>(operand)) return value;
    if (const auto* text = std::get_if<std::string>(&operand)) return *text;
    return std::get<double>(operand);
  };
  std::string out;
  for (const Part& part : parts_) {
    if (const auto* literal = std::get_if<std::string>(&part)) {
      out += *literal;
      continue;
    }
    const auto& pipeline = std::get<Pipeline>(part);
    std::optional<TemplateValue> current;
    if (!pipeline.first.empty()) current = evaluate(pipeline.first.front());
    for (const Call& call : pipeline.calls) {
      std::vector<TemplateValue> arguments;
      for (const Operand& argument : call.arguments) arguments.push_back(evaluate(argument));
      if (current) arguments.push_back(std::move(*current));
      current = apply_function(call.function, arguments);
    }
    if (current) out += as_text(*current);
    if (out.size() > 2 * kMaxExpandedBytes) break;
  }
  return std::string(telemetry::cut_utf8(out, kMaxExpandedBytes));
}

}  // namespace hms::collector
