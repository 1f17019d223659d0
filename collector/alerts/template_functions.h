// template_functions.h: what a template's functions do with a value. The number formats follow
// prometheus/template/template.go. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "collector/alerts/template.h"

namespace hms::collector {

using TemplateValue = std::variant<std::string, double>;

/// A number as Go's %v writes it.
[[nodiscard]] std::string as_text(const TemplateValue& value);
/// The pipeline's value comes last; printf's format first.
[[nodiscard]] TemplateValue apply_function(Template::Function function,
                                           const std::vector<TemplateValue>& arguments);
/// What is wrong with a format of printf; empty when nothing is.
[[nodiscard]] std::string format_fault(std::string_view format);

}  // namespace hms::collector
