# Everything here is a Debian 12 package; contrib/packages lists their names.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Protobuf REQUIRED)  # protoc
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(LibArchive REQUIRED)
find_package(doctest REQUIRED)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(CAP REQUIRED IMPORTED_TARGET libcap)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(NL_ROUTE REQUIRED IMPORTED_TARGET libnl-route-3.0)
pkg_check_modules(NFTABLES REQUIRED IMPORTED_TARGET libnftables)

# protobuf and gRPC with everything that they need in turn. Their CMake packages know only the
# shared libraries; we take the archives, of which a program maps only what it uses: our programs
# share these pages with nobody else. What an archive may not be doubled of (libcrypto, which libcurl
# has too) stays a name (-lfoo). Sanitizer builds keep the shared ones, which link faster.
function(ocirun_named_library target)
  pkg_check_modules(${target} REQUIRED ${ARGN})
  set(libraries)
  foreach(name IN LISTS ${target}_STATIC_LIBRARIES)
    if(NOT OCIRUN_SANITIZE AND name MATCHES "^(absl_|grpc|gpr$|upb$|protobuf|re2$|address_sorting$|cares$)")
      list(APPEND libraries "-l:lib${name}.a")
    else()
      list(APPEND libraries ${name})
    endif()
  endforeach()
  add_library(${target} INTERFACE)
  target_link_libraries(${target} INTERFACE ${libraries})
endfunction()
add_link_options(-Wl,--as-needed,--gc-sections)
ocirun_named_library(dep_protobuf protobuf)
ocirun_named_library(dep_protobuf_lite protobuf-lite)
# We speak gRPC over unix sockets alone: of the archives, the one without TLS, xDS and ALTS. The shared
# reflection library brings the whole one, and there must not be two in a program.
if(OCIRUN_SANITIZE)
  set(reflection libgrpc++_reflection.so)
  ocirun_named_library(dep_grpc grpc++ protobuf)
else()
  set(reflection libgrpc++_reflection.a)
  ocirun_named_library(dep_grpc grpc++_unsecure protobuf)
  # What its pkg-config file forgets.
  target_link_libraries(dep_grpc INTERFACE -l:libupb.a -l:libaddress_sorting.a -l:libcares.a)
endif()
# As an imported library it comes before the archives that it needs.
find_library(GRPC_REFLECTION ${reflection} REQUIRED)
add_library(dep_grpc_reflection UNKNOWN IMPORTED GLOBAL)
set_target_properties(dep_grpc_reflection PROPERTIES
  IMPORTED_LOCATION ${GRPC_REFLECTION} INTERFACE_LINK_LIBRARIES dep_grpc)
