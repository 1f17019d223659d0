// support.h: small helpers of the proxy's unit tests.
#pragma once

#include <fstream>
#include <sstream>
#include <string>

inline std::string read_repository_file(const std::string& path) {
  std::ifstream file(std::string(HMS_SOURCE_DIR) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}
