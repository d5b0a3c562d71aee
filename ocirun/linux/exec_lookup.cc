// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/exec_lookup.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/sys/file.h"

namespace ocirun::linux_ {
namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string_view PathOf(const std::vector<std::string>& env) {
  std::string_view path = kDefaultPath;
  for (const std::string& entry : env)
    if (entry.rfind("PATH=", 0) == 0) path = std::string_view(entry).substr(5);
  return path;
}

// 0, or the errno with which it can't be run.
int CheckExecutable(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) < 0) return errno;
  if (S_ISDIR(st.st_mode)) return EISDIR;
  // Root may search everything, but execve needs at least one execute bit.
  if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0) return EACCES;
  return 0;
}

Status Failure(const std::string& name, int err) {
  switch (err) {
    case ENOENT:
    case ENOTDIR:
      return NotFound("exec: {:?}: stat {}: {}", name, name, ErrnoText(err));
    case EISDIR:
      return Error(StatusCode::kPermissionDenied, "exec: {:?}: is a directory", name);
    case EACCES:
      return Error(StatusCode::kPermissionDenied, "exec: {:?}: permission denied", name);
    default:
      return Annotate(SysError(err, "stat", name), "exec");
  }
}

// The first bytes of a file.
std::string Head(const std::string& path) {
  auto fd = sys::Open(path, O_RDONLY | O_NONBLOCK);
  if (!fd.ok()) return {};
  std::array<char, 4096> buffer;
  const ssize_t n = ::read(fd->get(), buffer.data(), buffer.size());
  return n > 0 ? std::string(buffer.data(), static_cast<size_t>(n)) : std::string();
}

// The interpreter that "#!" names; empty when it is no script.
std::string ScriptInterpreter(const std::string& head) {
  if (head.rfind("#!", 0) != 0) return {};
  const size_t begin = head.find_first_not_of(" \t", 2);
  if (begin == std::string::npos) return {};
  return head.substr(begin, head.find_first_of(" \t\n", begin) - begin);
}

// The loader that PT_INTERP of a 64-bit ELF file names; empty when there is none.
std::string ElfInterpreter(const std::string& head) {
  Elf64_Ehdr header;
  if (head.size() < sizeof header || std::memcmp(head.data(), ELFMAG, SELFMAG) != 0) return {};
  std::memcpy(&header, head.data(), sizeof header);
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    const uint64_t at = header.e_phoff + uint64_t{i} * sizeof segment;
    if (at > head.size() || head.size() - at < sizeof segment) return {};
    std::memcpy(&segment, head.data() + at, sizeof segment);
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_offset > head.size() || head.size() - segment.p_offset < segment.p_filesz)
      return {};
    return std::string(head.data() + segment.p_offset);
  }
  return {};
}

}  // namespace

StatusOr<std::string> FindExecutable(const std::string& name, const std::vector<std::string>& env) {
  if (name.find('/') != std::string::npos) {
    const int err = CheckExecutable(name);
    if (err != 0) return Failure(name, err);
    return name;
  }
  bool refused = false;
  std::string_view path = PathOf(env);
  while (true) {
    const size_t colon = path.find(':');
    std::string folder(path.substr(0, colon));
    if (folder.empty()) folder = ".";
    const std::string candidate = folder + "/" + name;
    const int err = CheckExecutable(candidate);
    if (err == 0) return candidate;
    refused = refused || err == EACCES;
    if (colon == std::string_view::npos) break;
    path.remove_prefix(colon + 1);
  }
  if (refused) return Failure(name, EACCES);
  return NotFound("exec: {:?}: executable file not found in $PATH", name);
}

Status ExplainExecFailure(int err, const std::string& path) {
  const std::string head = Head(path);
  std::string interpreter = ScriptInterpreter(head);
  if (err == ENOENT && !interpreter.empty() && interpreter.back() == '\r')
    return NotFound(
        "exec {}: no such file or directory: its first line ends in a carriage return, "
        "so the interpreter {:?} is looked for; save it with Unix line ends",
        path, interpreter);
  const bool script = !interpreter.empty();
  if (!script) interpreter = ElfInterpreter(head);
  if (err == ENOENT && !interpreter.empty() && ::access(interpreter.c_str(), F_OK) < 0)
    return NotFound("exec {}: no such file or directory: its {} {} is missing in the image", path,
                    script ? "interpreter" : "ELF loader", interpreter);
  if (err == ENOEXEC)
    return Annotate(SysError(err, "exec", path),
                    head.rfind(ELFMAG, 0) == 0 ? "it is made for another architecture"
                                               : "it is neither an ELF file nor a script with #!");
  return SysError(err, "exec", path);
}

}  // namespace ocirun::linux_
