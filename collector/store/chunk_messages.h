// chunk_messages.h: the messages of a chunk's log lines: what a program writes again and again
// once, and what it fills in as numbers and ids.
//
// A message is taken apart into a template and its variables: runs of digits (as numbers, in a
// column per place of a frequent template) and words of hexadecimal digits (as bytes). Messages
// that are unlike any other are their own template, and cost what their text costs. Thread: values.
// Limits: kMaxChunkBytes of text. Format: docs/storage-format.md, "Messages".
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "collector/store/chunk_block.h"

namespace hms::collector {

class MessagesWriter {
 public:
  void add(std::string_view message);
  void write(ColumnWriter& out, Packing packing) const;

 private:
  struct Template {
    std::string text;
    size_t lines = 0;
    std::vector<uint64_t> numbers;  // line by line
    std::string hex;
  };
  void take_apart(std::string_view message);
  void take_word(std::string_view word);
  bool take_hex(std::string_view word);
  void take_digits(std::string_view digits);

  std::deque<Template> templates_;
  std::unordered_map<std::string_view, uint32_t, TextHash> by_text_;
  std::vector<uint32_t> codes_;
  // Of the message at hand.
  std::string text_, hex_;
  std::vector<uint64_t> numbers_;
};

/// Appends `count` messages, which live in the arena. A wrong column sets `in.failed()`.
void read_messages(ColumnReader& in, size_t count, BlockArena& arena,
                   std::vector<std::string_view>& out);

}  // namespace hms::collector
