// Whatever bytes a line and a question are: folding is stable, the short ways of a search find what
// the long one does, and no filter of the line hides it. The first byte says where the line ends
// and the question begins.
#include <cstdint>

#include "collector/store/chunk_filter.h"
#include "collector/store/text_fold.h"
#include "net/core/check.h"

using namespace hms::collector;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 4'096) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view line = all.substr(0, all.size() * data[0] / 255);
  const std::string question = fold_text(all.substr(line.size()));
  const std::string folded = fold_text(line);
  HMS_ENSURE(fold_text(folded) == folded);
  const bool found = contains_folded(line, question);
  HMS_ENSURE(found == (folded.find(question) != std::string::npos));
  if (!found || question.size() < 3) return 0;  // shorter ones no filter looks at
  static FilterBuilder builder;  // its bits only grow: a filter of more lines hides less
  builder.add_text(line);
  FilterQuestion asked;
  asked.need_text(question);
  HMS_ENSURE(asked.may_match(builder.finish()));
  return 0;
}
