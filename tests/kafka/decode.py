"""Decodes protobuf messages by Google's own library, from descriptors that protoc made of our proto files.

usage: decode.py <folder of proto files>
stdin:  one message a line: its name, a blank, its bytes in hex
stdout: one JSON object a line, members as the proto files name them; or "error: <why>" and exit status 1

A message is refused when it holds members that the proto files do not have, or when writing it anew gives other bytes.
"""

import json
import os
import sys
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, unknown_fields
from grpc_tools import protoc


def pool(folder):
    files = sorted(name for name in os.listdir(folder) if name.endswith(".proto"))
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "descriptors")
        arguments = ["protoc", "-I" + folder, "--include_imports", "--descriptor_set_out=" + path]
        if protoc.main(arguments + files) != 0:
            sys.exit("error: protoc refuses the proto files")
        descriptors = descriptor_pb2.FileDescriptorSet()
        with open(path, "rb") as file:
            descriptors.ParseFromString(file.read())
    result = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        result.Add(file)
    return result


def check(message, name):
    if len(unknown_fields.UnknownFieldSet(message)) > 0:
        sys.exit("error: unknown members in " + name)
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        repeated = hasattr(value, "append") or hasattr(value, "add")
        for inner in value if repeated else [value]:
            check(inner, name + "." + field.name)


def main():
    types = pool(sys.argv[1])
    for line in sys.stdin:
        name, content = line.split()
        content = bytes.fromhex(content)
        kind = message_factory.GetMessageClass(types.FindMessageTypeByName("thingsboard." + name))
        message = kind()
        message.ParseFromString(content)
        check(message, name)
        if sorted(message.SerializeToString(deterministic=True)) != sorted(content):
            sys.exit("error: another encoding of " + name)
        document = json_format.MessageToDict(message, preserving_proto_field_name=True)
        print(json.dumps(document), flush=True)


main()
