// yaml_reader.h: reads what people write, and reports every fault at once, each with file, line,
// column and key.
//
// A YamlNode is a view into a parsed document plus the path that led to it ("/routes/3/split").
// Readers never throw and never stop at the first fault: each `read` that fails adds a line to the
// YamlErrors and leaves its target as it was. An unknown key is a fault that names the keys
// allowed: call `finish()` on each mapping once all its keys were read. Limits: 1 MiB a file, 64
// levels, 100,000 nodes, no anchors/aliases beyond 1,000 expansions. Thread: start-up or reload,
// one at a time. Only yaml_reader.cc knows yaml-cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/core/clock.h"
#include "net/core/result.h"

namespace hms::net {

struct YamlError {
  std::string file{};
  int line = 0;           // from 1; 0 when the file as a whole is meant
  int column = 0;         // from 1
  std::string path{};     // "/routes/3/split"
  std::string message{};  // "unknown key 'wieght'; allowed: upstream, weight"
};

/// Where something was written: for faults that show only when the whole is read.
struct YamlPlace {
  std::string file{};
  int line = 0;
  int column = 0;
  std::string path{};
};

/// "claims.yaml:12:5: /routes/3/split: unknown key ..."; without a file (flags) only what is known.
[[nodiscard]] std::string to_string(const YamlError& error);

class YamlErrors {
 public:
  void add(YamlError error);
  void add(const YamlPlace& place, std::string message);
  [[nodiscard]] bool empty() const noexcept { return errors_.empty(); }
  [[nodiscard]] const std::vector<YamlError>& all() const noexcept { return errors_; }
  /// All faults, one a line.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<YamlError>
      errors_;  // at most 100 are kept; one more line then says how many were left out
  size_t left_out_ = 0;
};

class YamlNode {
 public:
  YamlNode();  // an absent node
  YamlNode(const YamlNode&);
  YamlNode(YamlNode&&) noexcept;
  YamlNode& operator=(const YamlNode&);
  YamlNode& operator=(YamlNode&&) noexcept;
  ~YamlNode();

  [[nodiscard]] bool present() const;  // there and not null
  [[nodiscard]] bool is_map() const;
  [[nodiscard]] bool is_list() const;
  [[nodiscard]] bool is_scalar() const;
  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] const std::string& file() const;
  [[nodiscard]] int line() const;
  [[nodiscard]] int column() const;
  [[nodiscard]] YamlPlace place() const;

  /// Adds a fault at this node.
  void fail(std::string message) const;

  /// The child under `key`, absent if it is not there; remembers that the key is known. A node that
  /// is not a map: a fault, once.
  YamlNode get(std::string_view key) const;
  /// As get, and a fault if the key is absent.
  YamlNode require(std::string_view key) const;
  /// Reports each key that no `get`/`require` on this node asked for, and keys given twice.
  void finish() const;
  /// Children of a list (a single scalar or map is not a list: a fault). Empty when absent.
  [[nodiscard]] std::vector<YamlNode> items() const;
  /// Keys and children of a map, in the order of the file.
  [[nodiscard]] std::vector<std::pair<std::string, YamlNode>> entries() const;

  // Each returns true and sets `target` if the node is present and right; false and no fault if
  // absent; false and a fault if wrong.
  bool read(std::string& target) const;
  bool read(bool& target) const;
  bool read_integer(int64_t& target, int64_t least, int64_t most) const;
  bool read_number(double& target, double least, double most) const;
  /// "250ms", "15s", "2m", "1h", "30d"; a bare number is a fault that names the units.
  bool read_duration(Millis& target, Millis least, Millis most) const;
  /// "64KiB", "1MiB", "2GiB", "512B", also kB/MB/GB; a bare number is bytes.
  bool read_size(uint64_t& target, uint64_t least, uint64_t most) const;
  /// "20%" or "0.2" as a fraction.
  bool read_fraction(double& target, double least, double most) const;
  /// One of `allowed`; the fault lists them.
  bool read_choice(std::string& target, std::initializer_list<std::string_view> allowed) const;

  struct Impl;
  explicit YamlNode(std::shared_ptr<Impl> impl);

 private:
  std::shared_ptr<Impl> impl_;
};

/// Parses one document. Syntax faults go to `errors` and give an absent node. `errors` must outlive
/// every node.
[[nodiscard]] YamlNode parse_yaml(std::string_view text, std::string file_name, YamlErrors& errors);
/// Reads the file and parses it.
[[nodiscard]] YamlNode load_yaml(const std::string& path, YamlErrors& errors);

}  // namespace hms::net
