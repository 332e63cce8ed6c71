// Original file: proto/podwire.proto


export interface ReleaseSubnetResponse {
}

export interface ReleaseSubnetResponse__Output {
}
