// yaml_tree.h: a parsed YAML document as a plain tree, within the limits of yaml_reader.h. Private
// to net/core.
//
// Built from yaml-cpp's events rather than from its Node: so that depth, nodes and aliases are
// counted while they arrive, a key given twice stays visible, and nobody else sees yaml-cpp. An
// alias points to the anchored node; what all aliases together would expand to is counted as nodes,
// so a "billion laughs" document ends at the limit.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hms::net {

struct YamlTreeNode {
  enum class Kind : uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  int line = 0;                            // from 1
  int column = 0;                          // from 1
  std::string text;                        // scalar
  std::vector<const YamlTreeNode*> items;  // list
  std::vector<std::pair<const YamlTreeNode*, const YamlTreeNode*>>
      entries;          // map, in the order of the file
  uint32_t weight = 1;  // nodes of this subtree, aliases expanded
  uint32_t height = 1;  // levels of this subtree, aliases expanded
  bool complete = false;
};

struct YamlFault {
  int line = 0;
  int column = 0;
  std::string message;
};

struct YamlTree {
  std::deque<YamlTreeNode> nodes;      // a deque: nodes stay where they are
  const YamlTreeNode* root = nullptr;  // null: an empty document
  std::vector<YamlFault> faults;       // not empty: root is null
};

inline constexpr size_t kYamlMostBytes = 1024 * 1024;
inline constexpr uint32_t kYamlMostDepth = 64;
inline constexpr uint32_t kYamlMostNodes = 100'000;
inline constexpr uint32_t kYamlMostAliases = 1'000;

[[nodiscard]] YamlTree parse_yaml_tree(std::string_view text);

}  // namespace hms::net
