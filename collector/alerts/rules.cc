// rules.cc: YAML to checked rules.
#include "collector/alerts/rules.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "collector/query/promql/lexer.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxFiles = 256;
constexpr size_t kMaxGroups = 1000;
constexpr size_t kMaxRules = 10'000;
constexpr size_t kMaxLabels = 64;

bool is_label_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (name.empty() || name.size() > 256 || !letter(name.front())) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

bool is_metric_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
  };
  if (name.empty() || name.size() > 256 || !letter(name.front())) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

bool read_rule_duration(const net::YamlNode& node, net::Millis& target) {
  std::string text;
  if (!node.read(text)) return false;
  auto parsed = parse_rule_duration(text);
  if (!parsed) {
    node.fail(parsed.error().detail);
    return false;
  }
  target = *parsed;
  return true;
}

using Texts = std::vector<std::pair<std::string, Template>>;

/// `labels` and `annotations`: names checked, values parsed as templates.
Texts read_texts(const net::YamlNode& node, std::string_view what) {
  Texts texts;
  if (!node.present()) return texts;
  if (!node.is_map()) {
    node.fail(std::string(what) + "s are a map of names to texts");
    return texts;
  }
  for (const auto& [name, child] : node.entries()) {
    if (texts.size() >= kMaxLabels) {
      child.fail("at most 64 " + std::string(what) + "s");
      break;
    }
    if (!is_label_name(name))
      child.fail("\"" + name + "\" is no " + std::string(what) +
                 " name; allowed: letters, digits and _, not a digit first");
    if (what == "label" && (name == "__name__" || name == "alertname"))
      child.fail("the label " + name + " is set by the rule's own name");
    std::string text;
    if (!child.read(text)) continue;
    auto parsed = Template::parse(text);
    if (!parsed) {
      child.fail(parsed.error().detail);
      continue;
    }
    texts.emplace_back(name, std::move(parsed).value());
  }
  return texts;
}

void read_expression(const net::YamlNode& node, Rule& rule) {
  if (!node.read(rule.expression_text)) return;
  auto parsed = promql::parse(rule.expression_text);
  if (!parsed) {
    node.fail("PromQL " + parsed.error().detail);
    return;
  }
  rule.expression = std::move(parsed).value();
}

Rule read_rule(const net::YamlNode& node, const Texts& group_labels) {
  Rule rule;
  const net::YamlNode alert = node.get("alert");
  const net::YamlNode record = node.get("record");
  if (alert.present() == record.present()) node.fail("a rule has either alert or record");
  if (alert.read(rule.name) && rule.name.empty()) alert.fail("an alert needs a name");
  if (record.present()) {
    rule.kind = Rule::Kind::recording;
    if (record.read(rule.name) && !is_metric_name(rule.name))
      record.fail("\"" + rule.name +
                  "\" is no metric name; allowed: letters, digits, _ and :, not a digit first");
  }
  read_expression(node.require("expr"), rule);
  const net::YamlNode hold = node.get("for");
  const net::YamlNode keep = node.get("keep_firing_for");
  const net::YamlNode annotations = node.get("annotations");
  read_rule_duration(hold, rule.hold);
  read_rule_duration(keep, rule.keep_firing);
  if (rule.kind == Rule::Kind::recording) {
    for (const auto* wrong : {&hold, &keep, &annotations}) {
      if (wrong->present()) wrong->fail("not in a recording rule");
    }
  }
  rule.labels = group_labels;
  for (auto& [name, text] : read_texts(node.get("labels"), "label")) {
    std::erase_if(rule.labels, [&key = name](const auto& label) { return label.first == key; });
    rule.labels.emplace_back(name, std::move(text));
  }
  rule.annotations = read_texts(annotations, "annotation");
  node.finish();
  return rule;
}

/// Same kind, name and labels twice: the two would write the same series.
std::string identity_of(const Rule& rule) {
  std::string text = rule.kind == Rule::Kind::alerting ? "a" : "r";
  text += rule.name;
  std::vector<std::string> labels;
  for (const auto& [name, value] : rule.labels) labels.push_back(name + '\x01' + value.text());
  std::sort(labels.begin(), labels.end());
  for (const std::string& label : labels) text += '\x02' + label;
  return text;
}

void read_group(const net::YamlNode& node, const std::string& file, std::set<std::string>& names,
                RuleSet& set) {
  RuleGroup group;
  group.file = file;
  const net::YamlNode name = node.require("name");
  if (name.read(group.name)) {
    if (group.name.empty()) name.fail("a group needs a name");
    if (!names.insert(group.name).second)
      name.fail("the group \"" + group.name + "\" is there twice");
  }
  const net::YamlNode interval = node.get("interval");
  if (read_rule_duration(interval, group.interval) && group.interval < net::Millis(1000))
    interval.fail("at least 1s, found " + std::to_string(group.interval.count()) + "ms");
  int64_t limit = 0;
  if (node.get("limit").read_integer(limit, 0, 1'000'000))
    group.limit = static_cast<uint64_t>(limit);
  // Our numbers are complete when they are looked at, so that there is nothing to wait for; the key
  // is Prometheus', and only 0 is right here.
  const net::YamlNode offset = node.get("query_offset");
  net::Millis query_offset{0};
  if (read_rule_duration(offset, query_offset) && query_offset.count() != 0)
    offset.fail("only 0s is supported");
  const Texts labels = read_texts(node.get("labels"), "label");
  std::set<std::string> seen;
  for (const net::YamlNode& item : node.get("rules").items()) {
    if (group.rules.size() >= kMaxRules) {
      item.fail("at most 10000 rules");
      break;
    }
    Rule rule = read_rule(item, labels);
    if (!seen.insert(identity_of(rule)).second)
      item.fail("the rule \"" + rule.name + "\" is there twice with the same labels");
    group.rules.push_back(std::move(rule));
  }
  node.finish();
  set.groups.push_back(std::move(group));
}

bool is_directory(const std::string& path) {
  std::error_code unreadable;
  return std::filesystem::is_directory(path, unreadable);
}

std::vector<std::string> files_of(const std::string& directory, net::YamlErrors& errors) {
  std::vector<std::string> files;
  std::error_code failed;
  std::filesystem::directory_iterator entry(directory, failed);
  for (; !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(".")) continue;
    if (name.ends_with(".yaml") || name.ends_with(".yml")) files.push_back(directory + "/" + name);
  }
  if (failed) {
    errors.add({directory, 0, 0, "", "the directory cannot be read"});
    return {};
  }
  std::sort(files.begin(), files.end());
  if (files.size() > kMaxFiles) {
    errors.add(
        {directory, 0, 0, "", "at most 256 rule files, found " + std::to_string(files.size())});
    files.resize(kMaxFiles);
  }
  return files;
}

void read_document(const net::YamlNode& root, const std::string& file, RuleSet& set,
                   net::YamlErrors&) {
  if (!root.present()) return;
  std::set<std::string> names;
  const net::YamlNode groups = root.get("groups");
  for (const net::YamlNode& item : groups.items()) {
    if (set.groups.size() >= kMaxGroups) {
      item.fail("at most 1000 groups");
      return;
    }
    read_group(item, file, names, set);
  }
  root.finish();
}

}  // namespace

net::Result<net::Millis> parse_rule_duration(std::string_view text) {
  int64_t millis = 0;
  if (text == "0" || promql::parse_duration(text, millis)) return net::Millis(millis);
  return net::Error{
      net::Code::bad_config, net::Side::self, false,
      "\"" + std::string(text.substr(0, 40)) +
          "\" is no duration; expected for example 30s, 5m or 1h30m (units: ms s m h d w y)"};
}

void read_rules(std::string_view text, const std::string& file_name, RuleSet& set,
                net::YamlErrors& errors) {
  read_document(net::parse_yaml(text, file_name, errors), file_name, set, errors);
}

RuleSet load_rules(const std::string& path, net::YamlErrors& errors) {
  RuleSet set;
  const std::vector<std::string> files =
      is_directory(path) ? files_of(path, errors) : std::vector<std::string>{path};
  for (const std::string& file : files)
    read_document(net::load_yaml(file, errors), file, set, errors);
  return set;
}

const RuleSet& default_rules() {
  static const RuleSet set = [] {
    RuleSet made;
    net::YamlErrors errors;
    read_rules(default_rules_text(), "default.yaml", made, errors);
    HMS_ENSURE(errors.empty());  // a test reads them, too
    return made;
  }();
  return set;
}

}  // namespace hms::collector
