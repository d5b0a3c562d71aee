# Warnings, sanitizers, linker and compiler cache of every target.
add_compile_options(-Wall -Wextra -Wshadow -Werror)
# Designated initialisers leave out what keeps its default.
add_compile_options(-Wno-missing-field-initializers)
# Debian ships fmt's compiled part only as a shared library; ours are static programs.
add_compile_definitions(FMT_HEADER_ONLY _GNU_SOURCE)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

set(OCIRUN_ASAN_OPTIONS handle_sigill=1:malloc_context_size=8)  # for every test
if(OCIRUN_SANITIZE)
  add_compile_options(-fsanitize=${OCIRUN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(OCIRUN_SANITIZE MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC has ASan register each of UBSan's messages as a global, 30,000 in one file: a program of
    # ours then spends 120 ms and 40,000 page faults before main, and the tests start thousands. A
    # trap checks the same (but vptr, which needs the messages); ASan prints where, by the option
    # below, though not which rule was broken.
    add_compile_options(-fsanitize-undefined-trap-on-error)
  endif()
  add_link_options(-fsanitize=${OCIRUN_SANITIZE})
  if(OCIRUN_SANITIZE STREQUAL "thread")
    # Protobuf's classes have other members where this is defined, and Debian's library was built
    # without: the first map that reflection looks at would crash.
    add_compile_options(-U__SANITIZE_THREAD__)
  endif()
endif()

# For code that runs once in a process of a few milliseconds: what costs there is to map and read it.
function(ocirun_optimise_for_size)
  add_compile_options($<$<CONFIG:Release>:-Os>)
endfunction()

# A program that loads no library at run time, unless a sanitizer needs its own.
function(ocirun_static_program target)
  if(NOT OCIRUN_SANITIZE AND NOT OCIRUN_FUZZ)
    target_link_options(${target} PRIVATE -static)
  endif()
endfunction()

if(OCIRUN_COMMIT STREQUAL "")
  execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE OCIRUN_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
configure_file(${CMAKE_SOURCE_DIR}/base/version.cc.in ${CMAKE_BINARY_DIR}/generated/base/version.cc)
include_directories(${CMAKE_BINARY_DIR}/generated)
