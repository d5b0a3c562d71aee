// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/device_bpf.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys/file.h"

namespace ocirun::cgroup {
namespace {

// struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor; loaded into these registers once.
constexpr uint8_t kType = BPF_REG_2, kAccess = BPF_REG_3, kMajor = BPF_REG_4, kMinor = BPF_REG_5;

bpf_insn Instruction(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
  bpf_insn out{};
  out.code = code;
  out.dst_reg = to & 0xf;
  out.src_reg = from & 0xf;
  out.off = offset;
  out.imm = value;
  return out;
}

bpf_insn Load(uint8_t to, int16_t offset) {
  return Instruction(BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, offset, 0);
}
bpf_insn Alu(uint8_t operation, uint8_t to, int32_t value) {
  return Instruction(static_cast<uint8_t>(BPF_ALU | operation | BPF_K), to, 0, 0, value);
}
bpf_insn JumpUnless(uint8_t reg, int32_t value, int16_t over) {
  return Instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, over, value);
}

void Return(std::vector<bpf_insn>* program, bool allow) {
  program->push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allow ? 1 : 0));
  program->push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

int32_t AccessBits(const std::string& access) {
  int32_t bits = 0;
  for (const char c : access)
    bits |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
  return bits;
}

// The tests of one rule, then its verdict; a test that fails jumps behind the verdict.
void AppendRule(const oci::DeviceRule& rule, std::vector<bpf_insn>* program) {
  constexpr int32_t kAllAccess = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;
  const int32_t access = AccessBits(rule.access);
  std::vector<bpf_insn> tests;
  if (rule.type != 'a')
    tests.push_back(
        JumpUnless(kType, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0));
  if (access != kAllAccess) {
    // Wanted bits that the rule does not name: it does not cover the access.
    tests.push_back(Instruction(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, kAccess, 0, 0));
    tests.push_back(Alu(BPF_AND, BPF_REG_1, kAllAccess & ~access));
    tests.push_back(JumpUnless(BPF_REG_1, 0, 0));
  }
  if (rule.type != 'a' && rule.major.has_value())
    tests.push_back(JumpUnless(kMajor, static_cast<int32_t>(*rule.major), 0));
  if (rule.type != 'a' && rule.minor.has_value())
    tests.push_back(JumpUnless(kMinor, static_cast<int32_t>(*rule.minor), 0));
  for (size_t i = 0; i < tests.size(); ++i)
    if (BPF_CLASS(tests[i].code) == BPF_JMP)
      tests[i].off = static_cast<int16_t>(tests.size() - i - 1 + 2);  // over the verdict
  program->insert(program->end(), tests.begin(), tests.end());
  Return(program, rule.allow);
}

long Bpf(int command, bpf_attr* attr) { return ::syscall(SYS_bpf, command, attr, sizeof *attr); }

}  // namespace

std::vector<bpf_insn> CompileDeviceRules(const std::vector<oci::DeviceRule>& rules) {
  std::vector<bpf_insn> program = {Load(kType, 0),
                                   Load(kAccess, 0),
                                   Load(kMajor, 4),
                                   Load(kMinor, 8),
                                   Alu(BPF_AND, kType, 0xffff),
                                   Alu(BPF_RSH, kAccess, 16)};
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    AppendRule(*rule, &program);
    // A rule for everything ends the program: the verifier refuses code that is never reached.
    if (rule->type == 'a' && AccessBits(rule->access) == 7) return program;
  }
  Return(&program, false);
  return program;
}

Status AttachDeviceRules(const std::string& folder, const std::vector<oci::DeviceRule>& rules) {
  const std::vector<bpf_insn> program = CompileDeviceRules(rules);
  constexpr char kLicense[] = "Apache-2.0";
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = reinterpret_cast<uint64_t>(program.data());
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.license = reinterpret_cast<uint64_t>(kLicense);
  const UniqueFd loaded(static_cast<int>(Bpf(BPF_PROG_LOAD, &load)));
  if (!loaded) return SysError(errno, "bpf BPF_PROG_LOAD", "linux.resources.devices");
  ASSIGN_OR_RETURN(const UniqueFd cgroup, sys::Open(folder, O_RDONLY | O_DIRECTORY));
  bpf_attr attach{};
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.target_fd = static_cast<uint32_t>(cgroup.get());
  attach.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, &attach) < 0) return SysError(errno, "bpf BPF_PROG_ATTACH", folder);
  return OkStatus();
}

}  // namespace ocirun::cgroup
