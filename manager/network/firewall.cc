// SPDX-License-Identifier: Apache-2.0
#include "manager/network/firewall.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <memory>
#include <optional>

namespace ocirun::network {
namespace {

Status RunNft(const std::string& commands) {
  struct Free {
    void operator()(nft_ctx* context) const { nft_ctx_free(context); }
  };
  const std::unique_ptr<nft_ctx, Free> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (context == nullptr) return Internal("nftables: no context");
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0) return OkStatus();
  std::string text = nft_ctx_get_error_buffer(context.get());
  return Internal("nftables: {}", text.substr(0, text.find('\n')));
}

std::string RuleOf(const Forwarding& f) {
  const std::string to = f.host_ip.empty() || f.host_ip == "0.0.0.0"
                             ? std::string("fib daddr type local")
                             : "ip daddr " + f.host_ip;
  return fmt::format("{} {} dport {} dnat to {}:{}\n", to, f.protocol, f.host_port, f.container_ip,
                     f.container_port);
}

}  // namespace

std::string RenderRules(const FirewallState& state) {
  std::string dnat;
  for (const Forwarding& forwarding : state.forwardings) dnat += RuleOf(forwarding);
  // Declared before it is deleted, so that the deletion cannot fail.
  return fmt::format(
      "table ip {0} {{}}\n"
      "delete table ip {0}\n"
      "table ip {0} {{\n"
      "chain prerouting {{ type nat hook prerouting priority -100;\n{3}}}\n"
      "chain output {{ type nat hook output priority -100;\n{3}}}\n"
      "chain postrouting {{ type nat hook postrouting priority 100;\n"
      "ip saddr {2} oifname != \"{1}\" masquerade\n"
      "ip saddr 127.0.0.0/8 oifname \"{1}\" masquerade\n"
      "ip saddr {2} oifname \"{1}\" ct status dnat masquerade\n}}\n"
      "chain forward {{ type filter hook forward priority 0;\n"
      "iifname \"{1}\" accept\noifname \"{1}\" accept\n}}\n}}\n",
      state.table, state.bridge, state.subnet, dnat);
}

StatusOr<uint32_t> RulesGeneration() {
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  const std::unique_ptr<nl_sock, Free> socket(nl_socket_alloc());
  if (socket == nullptr) return Internal("netfilter: no socket");
  nl_socket_disable_auto_ack(socket.get());
  std::optional<uint32_t> generation;
  const auto read = [](nl_msg* message, void* to) -> int {
    const nlattr* id = nlmsg_find_attr(nlmsg_hdr(message), sizeof(nfgenmsg), NFTA_GEN_ID);
    if (id != nullptr) *static_cast<std::optional<uint32_t>*>(to) = ntohl(nla_get_u32(id));
    return NL_OK;
  };
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, read, &generation);
  nfgenmsg request{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0};
  int code = nl_connect(socket.get(), NETLINK_NETFILTER);
  if (code >= 0) {
    code = nl_send_simple(socket.get(), NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, &request,
                          sizeof(request));
  }
  if (code >= 0) code = nl_recvmsgs_default(socket.get());
  if (code < 0) return Internal("generation of the netfilter rules: {}", nl_geterror(code));
  if (!generation) return Internal("generation of the netfilter rules: not told");
  return *generation;
}

Status ApplyFirewall(const std::string& rules) { return RunNft(rules); }

Status RemoveFirewall(const std::string& table) {
  return RunNft(fmt::format("table ip {0} {{}}\ndelete table ip {0}\n", table));
}

}  // namespace ocirun::network
