// yaml_impl.h: the inside of a YamlNode, for yaml_reader.cc and yaml_values.cc only.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/core/yaml_reader.h"
#include "net/core/yaml_tree.h"

namespace hms::net {

struct YamlDocument {
  YamlTree tree;
  std::string file;
  YamlErrors* errors = nullptr;
};

struct YamlNode::Impl {
  std::shared_ptr<YamlDocument> document;
  const YamlTreeNode* node = nullptr;  // null: absent
  std::string path;
  int line = 0;  // of an absent node: its nearest parent's
  int column = 0;
  // Handed-out children: the same key gives the same Impl, so that what was asked of it is
  // remembered once.
  std::vector<std::pair<std::string, std::shared_ptr<Impl>>> asked;
  std::vector<std::shared_ptr<Impl>> children;  // of items() and entries()
  bool kind_fault_told = false;
  bool repeats_told = false;

  [[nodiscard]] bool is(YamlTreeNode::Kind kind) const {
    return node != nullptr && node->kind == kind;
  }
  [[nodiscard]] bool present() const {
    return node != nullptr && node->kind != YamlTreeNode::Kind::null;
  }
  void fail_at(int at_line, int at_column, std::string message) const;
  void fail(std::string message) const { fail_at(line, column, std::move(message)); }
  /// False and (once) a fault if something else than `kind` is here; false if nothing is here.
  bool expect(YamlTreeNode::Kind kind);
  void tell_repeated_keys();
  [[nodiscard]] std::shared_ptr<Impl> child(const YamlTreeNode* child_node,
                                            std::string_view name) const;
};

/// "a list", "a mapping", ...
[[nodiscard]] std::string_view yaml_kind_name(YamlTreeNode::Kind kind);
/// What a person wrote, quoted and cut to a readable length, control characters replaced.
[[nodiscard]] std::string yaml_quoted(std::string_view text);

}  // namespace hms::net
