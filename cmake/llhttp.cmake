# llhttp, as the target hms::llhttp.
#
# 1. A prebuilt llhttp 9 (Debian 13's libllhttp-dev, unpacked) under HMS_LLHTTP_DIR; `./dev setup` puts it there.
# 2. Otherwise the C sources of Debian 12's package node-llhttp (8.1.0), always with LLHTTP_STRICT_MODE=1: the macro changes what the
#    header declares and what the parser refuses, so every user of the header must see it. head_guard stands behind either.

set(HMS_LLHTTP_DIR "${PROJECT_SOURCE_DIR}/build/deps/llhttp/usr" CACHE PATH "prefix of an unpacked libllhttp-dev")
set(HMS_LLHTTP_SOURCES "/usr/share" CACHE PATH "where node-llhttp keeps llhttp/ and include/llhttp/")

find_path(LLHTTP_PREBUILT_INCLUDE llhttp.h PATHS "${HMS_LLHTTP_DIR}/include" NO_DEFAULT_PATH)
find_library(LLHTTP_PREBUILT_LIBRARY libllhttp.a
             PATHS "${HMS_LLHTTP_DIR}/lib" "${HMS_LLHTTP_DIR}/lib/${CMAKE_LIBRARY_ARCHITECTURE}" NO_DEFAULT_PATH)

if(LLHTTP_PREBUILT_INCLUDE AND LLHTTP_PREBUILT_LIBRARY)
  add_library(hms_llhttp INTERFACE)
  target_include_directories(hms_llhttp SYSTEM INTERFACE "${LLHTTP_PREBUILT_INCLUDE}")
  target_link_libraries(hms_llhttp INTERFACE "${LLHTTP_PREBUILT_LIBRARY}")
  message(STATUS "llhttp: ${LLHTTP_PREBUILT_LIBRARY}")
elseif(EXISTS "${HMS_LLHTTP_SOURCES}/llhttp/llhttp.c" AND EXISTS "${HMS_LLHTTP_SOURCES}/include/llhttp/llhttp.h")
  add_library(hms_llhttp STATIC "${HMS_LLHTTP_SOURCES}/llhttp/api.c" "${HMS_LLHTTP_SOURCES}/llhttp/http.c"
                                "${HMS_LLHTTP_SOURCES}/llhttp/llhttp.c")
  target_include_directories(hms_llhttp SYSTEM PUBLIC "${HMS_LLHTTP_SOURCES}/include/llhttp")
  target_compile_definitions(hms_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
  message(STATUS "llhttp: sources in ${HMS_LLHTTP_SOURCES}/llhttp, strict")
else()
  message(FATAL_ERROR "llhttp not found: run './dev setup', or install node-llhttp, or set HMS_LLHTTP_DIR "
                      "(a prefix with include/llhttp.h and lib/libllhttp.a)")
endif()
add_library(hms::llhttp ALIAS hms_llhttp)
