// yaml_reader_fuzz.cc: any bytes as a configuration file: read in every way, nothing may crash,
// hang or grow without bound.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/core/yaml_reader.h"

namespace {

using hms::net::Millis;
using hms::net::YamlErrors;
using hms::net::YamlNode;

void read_every_way(const YamlNode& node) {
  std::string text;
  bool flag = false;
  int64_t integer = 0;
  double number = 0;
  Millis duration{};
  uint64_t size = 0;
  node.read(text);
  node.read(flag);
  node.read_integer(integer, -10, 10);
  node.read_number(number, -1, 1);
  node.read_duration(duration, Millis(1), Millis(1000));
  node.read_size(size, 1, 1024);
  node.read_fraction(number, 0, 1);
  node.read_choice(text, {"a", "b"});
}

void walk(const YamlNode& node, int depth) {
  if (depth > 70) std::abort();  // the reader allows 64
  read_every_way(node);
  if (node.is_list()) {
    for (const YamlNode& item : node.items()) walk(item, depth + 1);
  } else if (node.is_map()) {
    node.get("a");
    node.require("b");
    for (const auto& [key, child] : node.entries()) walk(child, depth + 1);
    node.finish();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  YamlErrors errors;
  const YamlNode root =
      hms::net::parse_yaml({reinterpret_cast<const char*>(data), size}, "fuzz", errors);
  walk(root, 0);
  if (errors.all().size() > 101) std::abort();
  if (errors.text().find('\0') != std::string::npos && errors.all().empty()) std::abort();
  return 0;
}
