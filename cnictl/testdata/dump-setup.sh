# Makes, in a fresh network namespace, what podwire makes on a node, beside things of others. Fixed MACs, no IPv6 but ours.
set -e
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link set lo up
ip link add eth0 type veth peer name far
ip address add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip link set far up
ip link add pwbr0 address 02:00:00:00:00:01 type bridge
ip link set pwbr0 alias "podwire bridge net=default" up
ip address add 10.244.1.1/24 dev pwbr0
ip link add pw0123456789ab address 02:00:00:00:00:02 mtu 1450 type veth peer name inside
ip link set pw0123456789ab master pwbr0 alias "podwire veth net=default cid=c0 if=eth0 pod=shop/web-0" up
ip link set pw0123456789ab type bridge_slave hairpin on isolated on
ip link set inside up
ip link add pwflow4790 mtu 1464 type vxlan external gpe dstport 4790 nolearning
ip link set pwflow4790 alias "podwire overlay net=*" up
ip address add 10.244.1.0/32 dev pwflow4790
ip link add pwvx7 address 02:00:00:00:00:07 type vxlan id 7 local 192.0.2.1 dev eth0 dstport 8472 nolearning
ip link set pwvx7 alias "podwire overlay net=old" up
ip route add 10.244.2.0/24 encap ip id 1 src 192.0.2.1 dst 192.0.2.2 dev pwflow4790 proto 112 src 10.244.1.0 mtu 1464
ip route add 10.9.2.0/24 via 10.9.2.0 dev pwvx7 onlink proto 112
ip route add 10.7.2.0/24 via 192.0.2.3 dev eth0 proto 112
ip route add 10.6.2.0/24 proto 112 nexthop via 192.0.2.3 dev eth0 weight 1 nexthop via 192.0.2.4 dev eth0 weight 2
ip route add blackhole 10.244.0.0/16 proto 112 table 77
ip neighbour add 10.9.2.0 lladdr 02:00:00:00:00:08 dev pwvx7 nud permanent protocol 112
bridge fdb add 02:00:00:00:00:08 dev pwvx7 dst 192.0.2.2 self permanent
ip rule add from 10.244.1.0/24 fwmark 0x1/0xff lookup 77 priority 100 protocol 112
nft -f - <<'NFT'
table inet podwire-default {
	set pods {
		type ipv4_addr
		elements = { 10.244.1.2 }
	}
	chain post {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr @pods oifname "eth0" masquerade
	}
}
table inet foreign {
}
NFT
ip link add stranger type veth peer name stranger2
ip route add 203.0.113.0/24 via 192.0.2.9
ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent
ip rule add from 203.0.113.0/24 lookup main priority 200
