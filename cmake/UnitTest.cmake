# ocirun_unit_test(LIBRARY a_test.cc b_test.cc ... [LINK MORE...]): one doctest program a library, run
# by ctest as unit.<library>; MORE is what only the test links. No root needed.
add_library(doctest_main OBJECT ${CMAKE_CURRENT_LIST_DIR}/doctest_main.cc)
target_link_libraries(doctest_main PUBLIC doctest::doctest)

function(ocirun_unit_test library)
  if(NOT OCIRUN_TESTS)
    return()
  endif()
  cmake_parse_arguments(TEST "" "" LINK ${ARGN})
  add_executable(${library}_test ${TEST_UNPARSED_ARGUMENTS})
  target_link_libraries(${library}_test PRIVATE ${library} doctest_main ${TEST_LINK})
  set_target_properties(${library}_test PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
  add_test(NAME unit.${library} COMMAND ${library}_test)
  set_tests_properties(unit.${library} PROPERTIES TIMEOUT 300
    ENVIRONMENT "ASAN_OPTIONS=${OCIRUN_ASAN_OPTIONS}")
endfunction()

# ocirun_fuzz_target(NAME SOURCE LIBRARY...): a libFuzzer program, built with the preset `fuzz` into
# build/fuzz/fuzz/. Run it with a folder of its own as corpus.
function(ocirun_fuzz_target name source)
  if(NOT OCIRUN_FUZZ)
    return()
  endif()
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${ARGN})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  if(NOT TARGET fuzz)
    add_custom_target(fuzz)  # all of them
  endif()
  add_dependencies(fuzz ${name})
endfunction()
