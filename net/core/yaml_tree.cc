#include "net/core/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <unordered_map>

namespace hms::net {
namespace {

/// Stops yaml-cpp's parser from inside an event; never leaves this file.
struct Stop : std::exception {
  explicit Stop(YamlFault what_is_wrong) : fault(std::move(what_is_wrong)) {}
  YamlFault fault;
};

YamlFault fault_at(const YAML::Mark& mark, std::string message) {
  if (mark.is_null()) return YamlFault{0, 0, std::move(message)};
  return YamlFault{mark.line + 1, mark.column + 1, std::move(message)};
}

[[noreturn]] void stop(const YAML::Mark& mark, std::string message) {
  throw Stop(fault_at(mark, std::move(message)));
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(YamlTree& tree) : tree_(tree) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (seen_document_) stop(mark, "a second document begins here; one per file is allowed");
    seen_document_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    leaf(mark, anchor, YamlTreeNode::Kind::null, {});
  }

  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    leaf(mark, anchor, YamlTreeNode::Kind::scalar, value);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (++aliases_ > kYamlMostAliases) {
      stop(mark, "more than " + std::to_string(kYamlMostAliases) + " aliases");
    }
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) stop(mark, "an alias without its anchor");
    const YamlTreeNode& node = *found->second;
    if (!node.complete) stop(mark, "an alias inside what it stands for");
    check_depth(mark, node.height);
    count(mark, node.weight);
    attach(node);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, anchor, YamlTreeNode::Kind::list);
  }
  void OnSequenceEnd() override { end(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(mark, anchor, YamlTreeNode::Kind::map);
  }
  void OnMapEnd() override { end(); }

 private:
  struct Open {
    YamlTreeNode* node;
    const YamlTreeNode* key = nullptr;  // of a map: waits for its value
  };

  YamlTreeNode& make(const YAML::Mark& mark, YAML::anchor_t anchor, YamlTreeNode::Kind kind) {
    check_depth(mark, 1);
    count(mark, 1);
    YamlTreeNode& node = tree_.nodes.emplace_back();
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    if (anchor != YAML::NullAnchor) anchors_[anchor] = &node;
    return node;
  }

  void leaf(const YAML::Mark& mark, YAML::anchor_t anchor, YamlTreeNode::Kind kind,
            const std::string& value) {
    YamlTreeNode& node = make(mark, anchor, kind);
    node.text = value;
    node.complete = true;
    attach(node);
  }

  void begin(const YAML::Mark& mark, YAML::anchor_t anchor, YamlTreeNode::Kind kind) {
    open_.push_back({&make(mark, anchor, kind)});
  }

  void end() {
    YamlTreeNode& node = *open_.back().node;
    open_.pop_back();
    node.complete = true;
    attach(node);
  }

  /// Adds a complete node to what is open.
  void attach(const YamlTreeNode& node) {
    if (open_.empty()) {
      tree_.root = &node;
      return;
    }
    Open& parent = open_.back();
    parent.node->weight += node.weight;
    parent.node->height = std::max(parent.node->height, node.height + 1);
    if (parent.node->kind == YamlTreeNode::Kind::list) {
      parent.node->items.push_back(&node);
    } else if (parent.key == nullptr) {
      parent.key = &node;
    } else {
      parent.node->entries.emplace_back(parent.key, &node);
      parent.key = nullptr;
    }
  }

  void check_depth(const YAML::Mark& mark, uint32_t added) {
    if (open_.size() + added > kYamlMostDepth) {
      stop(mark, "nested deeper than " + std::to_string(kYamlMostDepth) + " levels");
    }
  }

  void count(const YAML::Mark& mark, uint32_t added) {
    total_ += added;
    if (total_ > kYamlMostNodes) {
      stop(mark, "more than " + std::to_string(kYamlMostNodes) +
                     " nodes (aliases count as what they stand for)");
    }
  }

  YamlTree& tree_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, const YamlTreeNode*> anchors_;
  uint64_t total_ = 0;
  uint32_t aliases_ = 0;
  bool seen_document_ = false;
};

YamlTree failed(YamlFault fault) {
  YamlTree tree;
  tree.faults.push_back(std::move(fault));
  return tree;
}

}  // namespace

YamlTree parse_yaml_tree(std::string_view text) {
  if (text.size() > kYamlMostBytes) {
    return failed(
        {0, 0, "the file is larger than " + std::to_string(kYamlMostBytes / 1024) + " KiB"});
  }
  YamlTree tree;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(tree);
    while (parser.HandleNextDocument(builder)) {
    }
    return tree;
  } catch (const Stop& stopped) {
    return failed(stopped.fault);
  } catch (const YAML::Exception& error) {
    return failed(fault_at(error.mark, error.msg));
  } catch (const std::exception& error) {
    return failed({0, 0, error.what()});
  }
}

}  // namespace hms::net
