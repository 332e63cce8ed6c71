// Made by hack/proto from proto/podwire.proto; do not edit.
export const descriptor = {
 "nested": {
  "podwire": {
   "nested": {
    "v1": {
     "nested": {
      "Nodes": {
       "methods": {
        "Session": {
         "requestType": "NodeMessage",
         "requestStream": true,
         "responseType": "ControllerMessage",
         "responseStream": true
        }
       }
      },
      "NodeMessage": {
       "oneofs": {
        "kind": {
         "oneof": [
          "hello",
          "ack",
          "renew",
          "status"
         ]
        }
       },
       "fields": {
        "hello": {
         "type": "Hello",
         "id": 1
        },
        "ack": {
         "type": "Ack",
         "id": 2
        },
        "renew": {
         "type": "Renew",
         "id": 3
        },
        "status": {
         "type": "NodeStatus",
         "id": 4
        }
       }
      },
      "Hello": {
       "fields": {
        "nodeId": {
         "type": "string",
         "id": 1
        },
        "nodeName": {
         "type": "string",
         "id": 2
        },
        "addresses": {
         "rule": "repeated",
         "type": "string",
         "id": 3
        },
        "backends": {
         "rule": "repeated",
         "type": "string",
         "id": 4
        },
        "networks": {
         "rule": "repeated",
         "type": "string",
         "id": 5
        },
        "held": {
         "rule": "repeated",
         "type": "HeldSubnet",
         "id": 6
        },
        "version": {
         "type": "string",
         "id": 7
        },
        "bootId": {
         "type": "string",
         "id": 8
        },
        "publicKey": {
         "type": "string",
         "id": 9
        }
       }
      },
      "HeldSubnet": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "subnet": {
         "type": "string",
         "id": 2
        },
        "epoch": {
         "type": "uint64",
         "id": 3
        }
       }
      },
      "Ack": {
       "fields": {
        "revision": {
         "type": "uint64",
         "id": 1
        },
        "failures": {
         "rule": "repeated",
         "type": "string",
         "id": 2
        },
        "secretsEpoch": {
         "type": "uint64",
         "id": 3
        }
       }
      },
      "Renew": {
       "fields": {
        "held": {
         "rule": "repeated",
         "type": "HeldSubnet",
         "id": 1
        }
       }
      },
      "NodeStatus": {
       "fields": {
        "pods": {
         "rule": "repeated",
         "type": "Pod",
         "id": 1
        },
        "conditions": {
         "rule": "repeated",
         "type": "Condition",
         "id": 2
        },
        "probes": {
         "rule": "repeated",
         "type": "Probe",
         "id": 3
        },
        "backends": {
         "rule": "repeated",
         "type": "BackendProgress",
         "id": 4
        }
       }
      },
      "Probe": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "nodeId": {
         "type": "string",
         "id": 2
        },
        "nodeName": {
         "type": "string",
         "id": 3
        },
        "family": {
         "type": "uint32",
         "id": 4
        },
        "verdict": {
         "type": "string",
         "id": 5
        },
        "message": {
         "type": "string",
         "id": 6
        },
        "since": {
         "type": "uint64",
         "id": 7
        }
       }
      },
      "BackendProgress": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "receives": {
         "type": "uint64",
         "id": 2
        },
        "sends": {
         "type": "uint64",
         "id": 3
        }
       }
      },
      "Pod": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "containerId": {
         "type": "string",
         "id": 2
        },
        "interfaceName": {
         "type": "string",
         "id": 3
        },
        "namespace": {
         "type": "string",
         "id": 4
        },
        "name": {
         "type": "string",
         "id": 5
        },
        "addresses": {
         "rule": "repeated",
         "type": "string",
         "id": 6
        },
        "createdAt": {
         "type": "uint64",
         "id": 7
        },
        "nodeName": {
         "type": "string",
         "id": 8
        }
       }
      },
      "Condition": {
       "fields": {
        "type": {
         "type": "string",
         "id": 1
        },
        "status": {
         "type": "bool",
         "id": 2
        },
        "reason": {
         "type": "string",
         "id": 3
        },
        "message": {
         "type": "string",
         "id": 4
        }
       }
      },
      "ControllerMessage": {
       "oneofs": {
        "kind": {
         "oneof": [
          "lease",
          "snapshot",
          "delta",
          "secrets"
         ]
        }
       },
       "fields": {
        "lease": {
         "type": "Lease",
         "id": 1
        },
        "snapshot": {
         "type": "Snapshot",
         "id": 2
        },
        "delta": {
         "type": "Delta",
         "id": 3
        },
        "secrets": {
         "type": "Secrets",
         "id": 4
        }
       }
      },
      "Secrets": {
       "fields": {
        "epoch": {
         "type": "uint64",
         "id": 1
        },
        "pairs": {
         "rule": "repeated",
         "type": "PairKey",
         "id": 2
        }
       }
      },
      "PairKey": {
       "fields": {
        "publicKey": {
         "type": "bytes",
         "id": 1
        },
        "presharedKey": {
         "type": "bytes",
         "id": 2
        }
       }
      },
      "LeaseState": {
       "values": {
        "LEASE_STATE_UNSPECIFIED": 0,
        "LEASE_STATE_HELD": 1,
        "LEASE_STATE_FENCED": 2,
        "LEASE_STATE_NONE": 3
       }
      },
      "Lease": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "state": {
         "type": "LeaseState",
         "id": 2
        },
        "reason": {
         "type": "string",
         "id": 3
        },
        "subnets": {
         "rule": "repeated",
         "type": "LeasedSubnet",
         "id": 4
        },
        "expiresAt": {
         "type": "uint64",
         "id": 5
        },
        "ttlSeconds": {
         "type": "uint32",
         "id": 6
        }
       }
      },
      "LeasedSubnet": {
       "fields": {
        "subnet": {
         "type": "string",
         "id": 1
        },
        "epoch": {
         "type": "uint64",
         "id": 2
        }
       }
      },
      "Snapshot": {
       "fields": {
        "revision": {
         "type": "uint64",
         "id": 1
        },
        "networks": {
         "rule": "repeated",
         "type": "Network",
         "id": 2
        },
        "subnets": {
         "rule": "repeated",
         "type": "Subnet",
         "id": 3
        }
       }
      },
      "Delta": {
       "fields": {
        "revision": {
         "type": "uint64",
         "id": 1
        },
        "networks": {
         "rule": "repeated",
         "type": "Network",
         "id": 2
        },
        "deletedNetworks": {
         "rule": "repeated",
         "type": "string",
         "id": 3
        },
        "subnets": {
         "rule": "repeated",
         "type": "Subnet",
         "id": 4
        },
        "deletedSubnets": {
         "rule": "repeated",
         "type": "SubnetKey",
         "id": 5
        }
       }
      },
      "SubnetKey": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "subnet": {
         "type": "string",
         "id": 2
        }
       }
      },
      "Network": {
       "fields": {
        "name": {
         "type": "string",
         "id": 1
        },
        "cidrs": {
         "rule": "repeated",
         "type": "string",
         "id": 2
        },
        "ipv4SubnetLength": {
         "type": "uint32",
         "id": 3
        },
        "ipv6SubnetLength": {
         "type": "uint32",
         "id": 4
        },
        "backend": {
         "type": "Backend",
         "id": 5
        },
        "masquerade": {
         "type": "bool",
         "id": 6
        },
        "createdAt": {
         "type": "uint64",
         "id": 7
        },
        "generation": {
         "type": "uint64",
         "id": 8
        },
        "previous": {
         "type": "Backend",
         "id": 9
        },
        "required": {
         "type": "uint64",
         "id": 10
        }
       }
      },
      "Backend": {
       "fields": {
        "type": {
         "type": "string",
         "id": 1
        },
        "mode": {
         "type": "string",
         "id": 2
        },
        "vni": {
         "type": "uint32",
         "id": 3
        },
        "port": {
         "type": "uint32",
         "id": 4
        },
        "directRouting": {
         "type": "bool",
         "id": 5
        },
        "mtu": {
         "type": "uint32",
         "id": 6
        },
        "tunnel": {
         "type": "string",
         "id": 7
        }
       }
      },
      "Subnet": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "subnet": {
         "type": "string",
         "id": 2
        },
        "epoch": {
         "type": "uint64",
         "id": 3
        },
        "nodeId": {
         "type": "string",
         "id": 4
        },
        "nodeName": {
         "type": "string",
         "id": 5
        },
        "addresses": {
         "rule": "repeated",
         "type": "string",
         "id": 6
        },
        "vtepMac": {
         "type": "string",
         "id": 7
        },
        "reserved": {
         "type": "bool",
         "id": 8
        },
        "expiresAt": {
         "type": "uint64",
         "id": 9
        },
        "createdAt": {
         "type": "uint64",
         "id": 10
        },
        "revision": {
         "type": "uint64",
         "id": 11
        },
        "publicKey": {
         "type": "string",
         "id": 12
        },
        "receives": {
         "type": "uint64",
         "id": 13
        },
        "sends": {
         "type": "uint64",
         "id": 14
        }
       }
      },
      "Admin": {
       "methods": {
        "ListNodes": {
         "requestType": "ListNodesRequest",
         "responseType": "ListNodesResponse"
        },
        "ListNetworks": {
         "requestType": "ListNetworksRequest",
         "responseType": "ListNetworksResponse"
        },
        "ListSubnets": {
         "requestType": "ListSubnetsRequest",
         "responseType": "ListSubnetsResponse"
        },
        "ListPods": {
         "requestType": "ListPodsRequest",
         "responseType": "ListPodsResponse"
        },
        "InspectAddress": {
         "requestType": "InspectAddressRequest",
         "responseType": "InspectAddressResponse"
        },
        "CreateNetwork": {
         "requestType": "CreateNetworkRequest",
         "responseType": "Network"
        },
        "SetNetwork": {
         "requestType": "SetNetworkRequest",
         "responseType": "Network"
        },
        "DeleteNetwork": {
         "requestType": "DeleteNetworkRequest",
         "responseType": "DeleteNetworkResponse"
        },
        "ReserveSubnet": {
         "requestType": "ReserveSubnetRequest",
         "responseType": "Subnet"
        },
        "ReleaseSubnet": {
         "requestType": "ReleaseSubnetRequest",
         "responseType": "ReleaseSubnetResponse"
        },
        "Watch": {
         "requestType": "WatchRequest",
         "responseType": "WatchResponse",
         "responseStream": true
        }
       }
      },
      "ListNodesRequest": {
       "fields": {}
      },
      "ListNodesResponse": {
       "fields": {
        "nodes": {
         "rule": "repeated",
         "type": "Node",
         "id": 1
        },
        "revision": {
         "type": "uint64",
         "id": 2
        }
       }
      },
      "Node": {
       "fields": {
        "id": {
         "type": "string",
         "id": 1
        },
        "name": {
         "type": "string",
         "id": 2
        },
        "addresses": {
         "rule": "repeated",
         "type": "string",
         "id": 3
        },
        "backends": {
         "rule": "repeated",
         "type": "string",
         "id": 4
        },
        "connected": {
         "type": "bool",
         "id": 5
        },
        "connectedSince": {
         "type": "uint64",
         "id": 6
        },
        "lastSeen": {
         "type": "uint64",
         "id": 7
        },
        "appliedRevision": {
         "type": "uint64",
         "id": 8
        },
        "appliedAt": {
         "type": "uint64",
         "id": 9
        },
        "failures": {
         "rule": "repeated",
         "type": "string",
         "id": 10
        },
        "conditions": {
         "rule": "repeated",
         "type": "Condition",
         "id": 11
        },
        "subnets": {
         "rule": "repeated",
         "type": "Subnet",
         "id": 12
        },
        "podCount": {
         "type": "uint32",
         "id": 13
        },
        "version": {
         "type": "string",
         "id": 14
        },
        "createdAt": {
         "type": "uint64",
         "id": 15
        },
        "probes": {
         "rule": "repeated",
         "type": "Probe",
         "id": 16
        }
       }
      },
      "ListNetworksRequest": {
       "fields": {}
      },
      "ListNetworksResponse": {
       "fields": {
        "networks": {
         "rule": "repeated",
         "type": "Network",
         "id": 1
        }
       }
      },
      "ListSubnetsRequest": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        }
       }
      },
      "ListSubnetsResponse": {
       "fields": {
        "subnets": {
         "rule": "repeated",
         "type": "Subnet",
         "id": 1
        }
       }
      },
      "ListPodsRequest": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "nodeName": {
         "type": "string",
         "id": 2
        }
       }
      },
      "ListPodsResponse": {
       "fields": {
        "pods": {
         "rule": "repeated",
         "type": "Pod",
         "id": 1
        }
       }
      },
      "InspectAddressRequest": {
       "fields": {
        "address": {
         "type": "string",
         "id": 1
        }
       }
      },
      "InspectAddressResponse": {
       "fields": {
        "network": {
         "type": "Network",
         "id": 1
        },
        "subnet": {
         "type": "Subnet",
         "id": 2
        },
        "node": {
         "type": "Node",
         "id": 3
        },
        "pod": {
         "type": "Pod",
         "id": 4
        }
       }
      },
      "CreateNetworkRequest": {
       "fields": {
        "network": {
         "type": "Network",
         "id": 1
        }
       }
      },
      "SetNetworkRequest": {
       "fields": {
        "name": {
         "type": "string",
         "id": 1
        },
        "backend": {
         "type": "Backend",
         "id": 2
        }
       }
      },
      "DeleteNetworkRequest": {
       "fields": {
        "name": {
         "type": "string",
         "id": 1
        }
       }
      },
      "DeleteNetworkResponse": {
       "fields": {}
      },
      "ReserveSubnetRequest": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "subnet": {
         "type": "string",
         "id": 2
        },
        "node": {
         "type": "string",
         "id": 3
        }
       }
      },
      "ReleaseSubnetRequest": {
       "fields": {
        "network": {
         "type": "string",
         "id": 1
        },
        "subnet": {
         "type": "string",
         "id": 2
        },
        "force": {
         "type": "bool",
         "id": 3
        }
       }
      },
      "ReleaseSubnetResponse": {
       "fields": {}
      },
      "WatchRequest": {
       "fields": {
        "kinds": {
         "rule": "repeated",
         "type": "string",
         "id": 1
        }
       }
      },
      "WatchResponse": {
       "fields": {
        "revision": {
         "type": "uint64",
         "id": 1
        },
        "kinds": {
         "rule": "repeated",
         "type": "string",
         "id": 2
        }
       }
      }
     }
    }
   }
  }
 }
};
