#include "net/core/yaml_reader.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <unordered_set>

#include "net/core/errno_text.h"
#include "net/core/yaml_impl.h"

namespace hms::net {
namespace {

using Kind = YamlTreeNode::Kind;

constexpr size_t kMostErrors = 100;

std::string joined_keys(
    const std::vector<std::pair<std::string, std::shared_ptr<YamlNode::Impl>>>& asked) {
  std::vector<std::string_view> keys;
  for (const auto& [key, child] : asked) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  std::string text;
  for (const std::string_view key : keys) {
    if (!text.empty()) text += ", ";
    text += key;
  }
  return text.empty() ? "none" : text;
}

}  // namespace

// === YamlErrors

std::string to_string(const YamlError& error) {
  std::string text = error.file;
  if (error.line > 0) text += ":" + std::to_string(error.line) + ":" + std::to_string(error.column);
  if (!text.empty()) text += ": ";
  if (!error.path.empty()) text += error.path + ": ";
  return text + error.message;
}

void YamlErrors::add(const YamlPlace& place, std::string message) {
  add({place.file, place.line, place.column, place.path, std::move(message)});
}

void YamlErrors::add(YamlError error) {
  if (errors_.size() < kMostErrors) {
    errors_.push_back(std::move(error));
    return;
  }
  // The last line counts those that were left out.
  ++left_out_;
  YamlError more{.file = error.file,
                 .message = std::to_string(left_out_) + " more faults are not listed"};
  if (left_out_ == 1) {
    errors_.push_back(std::move(more));
  } else {
    errors_.back() = std::move(more);
  }
}

std::string YamlErrors::text() const {
  std::string text;
  for (const YamlError& error : errors_) {
    if (!text.empty()) text += '\n';
    text += to_string(error);
  }
  return text;
}

// === YamlNode::Impl

std::string_view yaml_kind_name(Kind kind) {
  switch (kind) {
    case Kind::null:
      return "nothing";
    case Kind::scalar:
      return "a single value";
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a mapping";
  }
  return "nothing";
}

std::string yaml_quoted(std::string_view text) {
  constexpr size_t kShown = 60;
  std::string out = "'";
  size_t shown = std::min(text.size(), kShown);
  // Not in the middle of a UTF-8 sequence.
  while (shown < text.size() && shown > 0 &&
         (static_cast<unsigned char>(text[shown]) & 0xc0) == 0x80)
    --shown;
  for (const char c : text.substr(0, shown))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  if (shown < text.size()) out += "...";
  return out + "'";
}

void YamlNode::Impl::fail_at(int at_line, int at_column, std::string message) const {
  document->errors->add({document->file, at_line, at_column, path, std::move(message)});
}

bool YamlNode::Impl::expect(Kind kind) {
  if (!present()) return false;
  if (node->kind == kind) return true;
  if (!std::exchange(kind_fault_told, true)) {
    fail("expected " + std::string(yaml_kind_name(kind)) + ", found " +
         std::string(yaml_kind_name(node->kind)));
  }
  return false;
}

void YamlNode::Impl::tell_repeated_keys() {
  if (std::exchange(repeats_told, true)) return;
  std::unordered_set<std::string_view> seen;
  for (const auto& [key, value] : node->entries) {
    if (key->kind != Kind::scalar && key->kind != Kind::null) {
      fail_at(key->line, key->column,
              "a key must be a single value, found " + std::string(yaml_kind_name(key->kind)));
    } else if (!seen.insert(key->text).second) {
      fail_at(key->line, key->column, "key " + yaml_quoted(key->text) + " is given twice");
    }
  }
}

std::shared_ptr<YamlNode::Impl> YamlNode::Impl::child(const YamlTreeNode* child_node,
                                                      std::string_view name) const {
  constexpr size_t kLongestPath = 512;
  auto impl = std::make_shared<Impl>();
  impl->document = document;
  impl->node = child_node;
  impl->path = path + "/" + std::string(name);
  if (impl->path.size() > kLongestPath) impl->path.resize(kLongestPath);
  impl->line = child_node != nullptr ? child_node->line : line;
  impl->column = child_node != nullptr ? child_node->column : column;
  return impl;
}

// === YamlNode

YamlNode::YamlNode() = default;
YamlNode::YamlNode(const YamlNode&) = default;
YamlNode::YamlNode(YamlNode&&) noexcept = default;
YamlNode& YamlNode::operator=(const YamlNode&) = default;
YamlNode& YamlNode::operator=(YamlNode&&) noexcept = default;
YamlNode::~YamlNode() = default;
YamlNode::YamlNode(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

bool YamlNode::present() const { return impl_ != nullptr && impl_->present(); }
bool YamlNode::is_map() const { return impl_ != nullptr && impl_->is(Kind::map); }
bool YamlNode::is_list() const { return impl_ != nullptr && impl_->is(Kind::list); }
bool YamlNode::is_scalar() const { return impl_ != nullptr && impl_->is(Kind::scalar); }

const std::string& YamlNode::path() const {
  static const std::string none;
  return impl_ == nullptr ? none : impl_->path;
}

const std::string& YamlNode::file() const {
  static const std::string none;
  return impl_ == nullptr ? none : impl_->document->file;
}

int YamlNode::line() const { return impl_ == nullptr ? 0 : impl_->line; }
int YamlNode::column() const { return impl_ == nullptr ? 0 : impl_->column; }
YamlPlace YamlNode::place() const { return {file(), line(), column(), path()}; }

void YamlNode::fail(std::string message) const {
  if (impl_ != nullptr) impl_->fail(std::move(message));
}

YamlNode YamlNode::get(std::string_view key) const {
  if (impl_ == nullptr) return {};
  for (const auto& [asked_key, child] : impl_->asked) {
    if (asked_key == key) return YamlNode(child);
  }
  const YamlTreeNode* found = nullptr;
  if (impl_->expect(Kind::map)) {
    for (const auto& [entry_key, value] : impl_->node->entries) {
      if (entry_key->kind != Kind::scalar || entry_key->text != key) continue;
      found = value;
      break;
    }
  }
  auto child = impl_->child(found, key);
  impl_->asked.emplace_back(std::string(key), child);
  return YamlNode(std::move(child));
}

YamlNode YamlNode::require(std::string_view key) const {
  YamlNode child = get(key);
  // Where something else than a mapping stands, `get` said so.
  const bool told = impl_ != nullptr && impl_->present() && !impl_->is(Kind::map);
  if (!child.present() && impl_ != nullptr && !told)
    impl_->fail("required key '" + std::string(key) + "' is missing");
  return child;
}

void YamlNode::finish() const {
  if (impl_ == nullptr || !impl_->expect(Kind::map)) return;
  impl_->tell_repeated_keys();
  std::unordered_set<std::string_view> allowed;
  for (const auto& [key, child] : impl_->asked) allowed.insert(key);
  std::unordered_set<std::string_view> told;
  for (const auto& [key, value] : impl_->node->entries) {
    const bool single = key->kind == Kind::scalar || key->kind == Kind::null;
    if (!single || allowed.contains(key->text) || !told.insert(key->text).second) continue;
    impl_->fail_at(
        key->line, key->column,
        "unknown key " + yaml_quoted(key->text) + "; allowed: " + joined_keys(impl_->asked));
  }
}

std::vector<YamlNode> YamlNode::items() const {
  std::vector<YamlNode> nodes;
  if (impl_ == nullptr || !impl_->expect(Kind::list)) return nodes;
  const auto& items = impl_->node->items;
  for (size_t i = impl_->children.size(); i < items.size(); ++i) {
    impl_->children.push_back(impl_->child(items[i], std::to_string(i)));
  }
  nodes.reserve(items.size());
  for (const auto& child : impl_->children) nodes.emplace_back(child);
  return nodes;
}

std::vector<std::pair<std::string, YamlNode>> YamlNode::entries() const {
  std::vector<std::pair<std::string, YamlNode>> nodes;
  if (impl_ == nullptr || !impl_->expect(Kind::map)) return nodes;
  impl_->tell_repeated_keys();
  const auto& entries = impl_->node->entries;
  for (size_t i = impl_->children.size(); i < entries.size(); ++i) {
    impl_->children.push_back(impl_->child(entries[i].second, entries[i].first->text));
  }
  nodes.reserve(entries.size());
  for (size_t i = 0; i < entries.size(); ++i)
    nodes.emplace_back(entries[i].first->text, impl_->children[i]);
  return nodes;
}

// === Parsing

YamlNode parse_yaml(std::string_view text, std::string file_name, YamlErrors& errors) {
  auto document = std::make_shared<YamlDocument>();
  document->tree = parse_yaml_tree(text);
  document->file = std::move(file_name);
  document->errors = &errors;
  for (const YamlFault& fault : document->tree.faults) {
    errors.add({document->file, fault.line, fault.column, "", fault.message});
  }
  if (!document->tree.faults.empty()) return {};
  auto impl = std::make_shared<YamlNode::Impl>();
  impl->node = document->tree.root;
  impl->line = impl->node != nullptr ? impl->node->line : 0;
  impl->column = impl->node != nullptr ? impl->node->column : 0;
  impl->document = std::move(document);
  return YamlNode(std::move(impl));
}

YamlNode load_yaml(const std::string& path, YamlErrors& errors) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(kYamlMostBytes + 1, '\0');  // one more than allowed shows that it is too large
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad() || (file.fail() && !file.eof())) {
    const std::string reason = errno != 0 ? errno_text(errno) : std::string("not a readable file");
    errors.add({.file = path, .message = "cannot read the file: " + reason});
    return {};
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return parse_yaml(text, path, errors);
}

}  // namespace hms::net
