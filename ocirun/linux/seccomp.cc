// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/seccomp.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <memory>

#include "base/file.h"
#include "base/sys/file.h"

namespace ocirun::linux_ {
namespace {

constexpr size_t kMaxFilterBytes = 65535 * sizeof(sock_filter);

struct ContextRelease {
  void operator()(scmp_filter_ctx context) const { ::seccomp_release(context); }
};
using Context = std::unique_ptr<void, ContextRelease>;

StatusOr<uint32_t> Action(const std::string& name, std::optional<uint32_t> errno_ret) {
  const uint32_t value = errno_ret.value_or(EPERM);
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(value);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(value);
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (name == "SCMP_ACT_NOTIFY") return Unsupported("seccomp action {}: not supported", name);
  return InvalidArgument("linux.seccomp: unknown action {:?}", name);
}

StatusOr<scmp_compare> Operator(const std::string& name) {
  constexpr struct {
    std::string_view name;
    scmp_compare op;
  } kOperators[] = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                    {"SCMP_CMP_LT", SCMP_CMP_LT},
                    {"SCMP_CMP_LE", SCMP_CMP_LE},
                    {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                    {"SCMP_CMP_GE", SCMP_CMP_GE},
                    {"SCMP_CMP_GT", SCMP_CMP_GT},
                    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  for (const auto& entry : kOperators)
    if (entry.name == name) return entry.op;
  return InvalidArgument("linux.seccomp: unknown operator {:?}", name);
}

// "SCMP_ARCH_X86_64" -> what libseccomp calls "x86_64".
StatusOr<uint32_t> Architecture(const std::string& name) {
  constexpr std::string_view kPrefix = "SCMP_ARCH_";
  if (name.rfind(kPrefix, 0) == 0) {
    std::string bare = name.substr(kPrefix.size());
    for (char& c : bare) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    const uint32_t token = ::seccomp_arch_resolve_name(bare.c_str());
    if (token != 0) return token;
  }
  return InvalidArgument("linux.seccomp: unknown architecture {:?}", name);
}

StatusOr<unsigned> Flags(const std::vector<std::string>& names) {
  unsigned flags = 0;
  for (const std::string& name : names) {
    if (name == "SECCOMP_FILTER_FLAG_TSYNC") {
      flags |= SECCOMP_FILTER_FLAG_TSYNC;
    } else if (name == "SECCOMP_FILTER_FLAG_LOG") {
      flags |= SECCOMP_FILTER_FLAG_LOG;
    } else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else {
      return InvalidArgument("linux.seccomp.flags: {:?} is not supported", name);
    }
  }
  return flags;
}

Status AddRule(const Context& context, const oci::SeccompRule& rule, uint32_t default_action) {
  ASSIGN_OR_RETURN(const uint32_t action, Action(rule.action, rule.errno_ret));
  if (action == default_action) return absl::OkStatus();  // libseccomp refuses it as an error
  std::vector<scmp_arg_cmp> args;
  bool repeated = false;
  unsigned seen = 0;
  for (const oci::SeccompArg& arg : rule.args) {
    ASSIGN_OR_RETURN(const scmp_compare op, Operator(arg.op));
    args.push_back({arg.index, op, arg.value, arg.value_two});
    repeated = repeated || (seen >> arg.index & 1);
    seen |= 1u << arg.index;
  }
  for (const std::string& name : rule.names) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;
    // Several conditions on one argument are alternatives: one rule each (as runc reads them).
    const size_t rules = repeated ? args.size() : 1;
    for (size_t i = 0; i < rules; ++i) {
      const scmp_arg_cmp* first = repeated ? &args[i] : args.data();
      const unsigned count = repeated ? 1 : static_cast<unsigned>(args.size());
      const int result = ::seccomp_rule_add_array(context.get(), action, number, count, first);
      if (result < 0 && result != -EEXIST) return SysError(-result, "seccomp rule", name);
    }
  }
  return absl::OkStatus();
}

StatusOr<std::string> Export(const Context& context) {
  const UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) return SysError(errno, "memfd_create");
  const int result = ::seccomp_export_bpf(context.get(), memory.get());
  if (result < 0) return SysError(-result, "seccomp_export_bpf");
  if (::lseek(memory.get(), 0, SEEK_SET) < 0) return SysError(errno, "lseek");
  return sys::ReadAll(memory, kMaxFilterBytes);
}

// FNV-1a, twice over with different seeds: 128 bits. The folder is owner-only, so this guards
// against mix-ups and torn writes, not against an enemy who can write there.
class Hash {
 public:
  void Add(std::string_view text) {
    Byte(text.size());
    for (const char c : text) Byte(static_cast<unsigned char>(c));
  }
  void Add(uint64_t number) {
    for (int i = 0; i < 8; ++i) Byte(number >> (8 * i) & 0xff);
  }
  [[nodiscard]] std::string Hex() const { return fmt::format("{:016x}{:016x}", a_, b_); }

 private:
  void Byte(uint64_t byte) {
    a_ = (a_ ^ byte) * 0x100000001b3;
    b_ = (b_ ^ (byte + 0x5bd1)) * 0x100000001b3;
  }
  uint64_t a_ = 0xcbf29ce484222325, b_ = 0x84222325cbf29ce4;
};

std::string CacheKey(const oci::Seccomp& profile) {
  Hash hash;
  const scmp_version* version = ::seccomp_version();
  hash.Add(uint64_t{version->major} << 32 | version->minor << 16 | version->micro);
  hash.Add(uint64_t{::seccomp_arch_native()});
  hash.Add(profile.default_action);
  hash.Add(uint64_t{profile.default_errno_ret.value_or(EPERM)});
  for (const std::string& architecture : profile.architectures) hash.Add(architecture);
  for (const oci::SeccompRule& rule : profile.syscalls) {
    for (const std::string& name : rule.names) hash.Add(name);
    hash.Add(rule.action);
    hash.Add(uint64_t{rule.errno_ret.value_or(EPERM)});
    for (const oci::SeccompArg& arg : rule.args) {
      hash.Add(arg.op);
      hash.Add(uint64_t{arg.index});
      hash.Add(arg.value);
      hash.Add(arg.value_two);
    }
  }
  return hash.Hex();
}

std::string DigestOf(std::string_view bpf) {
  Hash hash;
  hash.Add(bpf);
  return hash.Hex();
}

// The cached filter; empty when there is none that can be trusted.
std::string ReadCache(const std::string& path) {
  auto fd = sys::Open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd.ok()) return {};
  const auto st = sys::Stat(*fd);
  if (!st.ok() || !S_ISREG(st->st_mode) || st->st_uid != ::geteuid() || (st->st_mode & 022) != 0)
    return {};
  auto data = sys::ReadAll(*fd, kMaxFilterBytes + 32);
  if (!data.ok() || data->size() < 32) return {};
  std::string bpf = data->substr(32);
  if (bpf.size() % sizeof(sock_filter) != 0 || DigestOf(bpf) != data->substr(0, 32)) return {};
  return bpf;
}

}  // namespace

StatusOr<SeccompFilter> CompileSeccomp(const oci::Seccomp& profile) {
  ASSIGN_OR_RETURN(const uint32_t default_action,
                   Action(profile.default_action, profile.default_errno_ret));
  const Context context(::seccomp_init(default_action));
  if (!context) return Internal("seccomp_init failed");
  // A binary tree over system call numbers: fewer instructions on every call of the container.
  (void)::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const std::string& name : profile.architectures) {
    ASSIGN_OR_RETURN(const uint32_t token, Architecture(name));
    const int result = ::seccomp_arch_add(context.get(), token);
    if (result < 0 && result != -EEXIST) return SysError(-result, "seccomp architecture", name);
  }
  for (const oci::SeccompRule& rule : profile.syscalls)
    RETURN_IF_ERROR(AddRule(context, rule, default_action));
  SeccompFilter filter;
  ASSIGN_OR_RETURN(filter.flags, Flags(profile.flags));
  ASSIGN_OR_RETURN(filter.bpf, Export(context));
  return filter;
}

StatusOr<SeccompFilter> CachedSeccomp(const oci::Seccomp& profile, const std::string& folder) {
  const std::string path = folder + "/" + CacheKey(profile);
  SeccompFilter filter;
  filter.bpf = ReadCache(path);
  if (!filter.bpf.empty()) {
    ASSIGN_OR_RETURN(filter.flags, Flags(profile.flags));
    return filter;
  }
  ASSIGN_OR_RETURN(filter, CompileSeccomp(profile));
  IgnoreError(MakeDirs(folder, 0700), "without a cache the next start compiles again");
  IgnoreError(WriteFileAtomic(path, DigestOf(filter.bpf) + filter.bpf, 0600),
              "without a cache the next start compiles again");
  return filter;
}

Status LoadSeccomp(const SeccompFilter& filter) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(filter.bpf.size() / sizeof(sock_filter));
  // The kernel copies the instructions and does not write to them.
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(filter.bpf.data()));
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, &program) < 0)
    return SysError(errno, "seccomp");
  return absl::OkStatus();
}

}  // namespace ocirun::linux_
