"""A LwM2M device on aiocoap under remote control: commands come as lines on standard input, events go to standard output.

Options are arguments of the form NAME=VALUE:

    server    host:port of the server (required)
    endpoint  endpoint name (required)
    ct        content formats to announce, default "110 112"
    links     further instances of object 3303 to announce, default 0
    block     largest block size to use, as the exponent of RFC 7959 (0 = 16 bytes to 6 = 1024 bytes), default 6

Commands: `set PATH VALUE`, `grow PATH LENGTH` (a text of that length), `con` and `non` (how to notify), `delay SECONDS` (before
every answer; those slower than 0.1 s are separate responses), `send FORMAT PATH...`, `update`, `deregister`, `echo`, `quit`.

Events: `echo`, `registered ID`, `registration-failed CODE`, `updated`, `update-failed CODE`, `deregistered`, `sent`, `send-failed CODE`,
`read PATHS`, `observed PATHS`, `written PATH VALUE`, `executed PATH ARGUMENTS`, `created PATH`, `deleted PATH`,
`attributed PATH QUERY`, `error TEXT`. PATHS are joined by commas; CODE has the form 4.04.
"""

import asyncio
import base64
import hashlib
import json
import sys

import cbor2
from aiocoap import Code, Context, Message
from aiocoap.blockwise import _extract_block_key
from aiocoap.error import (
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    UnsupportedContentFormat,
)
from aiocoap.numbers import Reliable, Unreliable
from aiocoap.resource import ObservableResource, PathCapable

TEXT, LINK, OPAQUE, CBOR, SENML_JSON, SENML_CBOR = 0, 40, 42, 60, 110, 112
EXECUTABLE = {"/3/0/4", "/3303/0/5605"}
# Labels of RFC 8428 section 6; `vlo` is OMA's text label also in CBOR.
LABELS = {"bn": -2, "n": 0, "v": 2, "vs": 3, "vb": 4, "bt": -3, "t": 6, "vd": 8}


def event(text):
    print(text, flush=True)


def path_of(segments):
    return "/" + "/".join(segments)


class Device(ObservableResource, PathCapable):
    def __init__(self, options):
        super().__init__()
        self.values = {
            "/3/0/0": "aiocoap",
            "/3/0/1": "",
            "/3/0/9": 95,
            "/3/0/14": "+00:00",
            "/3/0/15": "UTC",
            "/19/0/0/0": b"\x01\x02\x03",
            "/3303/0/5700": 21.5,
            "/3303/0/5701": "Cel",
        }
        self.block = int(options.get("block", "6"))
        self.tuning = Reliable
        self.delay = 0.0
        self.observers = []

    # What is there.

    def below(self, path):
        prefix = path.rstrip("/") + "/"
        return {
            own: value
            for own, value in self.values.items()
            if own == path or own.startswith(prefix)
        }

    def instances(self):
        return sorted({path_of(own.split("/")[1:3]) for own in self.values})

    def encode(self, values, form):
        if form in (SENML_JSON, SENML_CBOR):
            return encode_senml(values, form)
        if len(values) != 1:
            raise NotAcceptable()
        (value,) = values.values()
        if form == CBOR:
            return cbor2.dumps(value)
        if form == OPAQUE and isinstance(value, bytes):
            return value
        if form == TEXT and not isinstance(value, bytes):
            return str(value).encode()
        raise NotAcceptable()

    def decode(self, path, request):
        form, payload = request.opt.content_format, request.payload
        if form in (SENML_JSON, SENML_CBOR):
            return decode_senml(payload, form)
        if form == CBOR:
            return {path: cbor2.loads(payload)}
        if form == OPAQUE:
            return {path: payload}
        if form == TEXT:
            known = self.values.get(path, "")
            return {path: type(known)(payload.decode())}
        raise UnsupportedContentFormat()

    def store(self, values):
        for path, value in values.items():
            self.values[path] = value
            shown = value.hex() if isinstance(value, bytes) else value
            event(f"written {path} {shown}")
        self.changed(values)

    # Requests.

    async def render(self, request):
        request.remote.maximum_block_size_exp = self.block
        if self.delay:
            await asyncio.sleep(self.delay)
        return await super().render(request)

    async def render_get(self, request):
        path = path_of(request.opt.uri_path)
        if request.opt.accept == LINK:
            return Message(payload=self.links(path).encode(), content_format=LINK)
        return self.content(request, [path])

    async def render_fetch(self, request):
        return self.content(request, list(self.named(request)))

    async def render_put(self, request):
        path = path_of(request.opt.uri_path)
        if request.opt.uri_query and not request.payload:
            event(f"attributed {path} {'&'.join(request.opt.uri_query)}")
        else:
            self.store(self.decode(path, request))
        return Message(code=Code.CHANGED)

    async def render_post(self, request):
        path = path_of(request.opt.uri_path)
        if path in EXECUTABLE:
            event(f"executed {path} {request.payload.decode()}".rstrip())
            return Message(code=Code.CHANGED)
        values = self.decode(path, request)
        created = {path_of(own.split("/")[1:3]) for own in values} - set(self.instances())
        self.store(values)
        for instance in created:
            event(f"created {instance}")
        return Message(code=Code.CREATED if created else Code.CHANGED)

    async def render_ipatch(self, request):
        self.store(self.decode("", request))
        return Message(code=Code.CHANGED)

    async def render_delete(self, request):
        path = path_of(request.opt.uri_path)
        gone = self.below(path)
        if not gone:
            raise NotFound()
        for own in gone:
            del self.values[own]
        event(f"deleted {path}")
        return Message(code=Code.DELETED)

    def named(self, request):
        form = request.opt.content_format
        if form not in (SENML_JSON, SENML_CBOR):
            raise UnsupportedContentFormat()
        return decode_senml(request.payload, form)

    def content(self, request, paths):
        values = {}
        for path in paths:
            values.update(self.below(path))
        if not values:
            raise NotFound()
        if request.opt.observe is None:
            event(f"read {','.join(sorted(paths))}")
        form = request.opt.accept
        if form is None:
            form = request.opt.content_format or SENML_JSON
        return Message(payload=self.encode(values, form), content_format=form)

    def links(self, path):
        if path == "/":
            raise MethodNotAllowed()
        found = self.below(path)
        links = [path] + [own for own in found if own != path]
        if not found:
            raise NotFound()
        return ",".join(f"<{own}>" for own in links)

    # Observations. aiocoap cuts neither the first answer to an observation nor notifications into blocks: done here.

    async def add_observation(self, request, observation):
        observed = (request, observation)
        self.observers.append(observed)
        observation.accept(lambda: self.observers.remove(observed))

        def first(paths):
            event(f"observed {','.join(sorted(paths))}")

        if request.code == Code.FETCH:
            first(list(self.named(request)))
        else:
            first([path_of(request.opt.uri_path)])

    def changed(self, paths):
        for request, observation in list(self.observers):
            observed = (
                list(self.named(request))
                if request.code == Code.FETCH
                else [path_of(request.opt.uri_path)]
            )
            if any(
                path == own or path.startswith(own + "/") or own.startswith(path + "/")
                for path in paths
                for own in observed
            ):
                observation.trigger(self.notification(request, observed))

    def notification(self, request, paths):
        whole = self.content(request, paths)
        whole.code = Code.CONTENT
        whole.transport_tuning = self.tuning()
        size = 1 << (self.block + 4)
        if len(whole.payload) <= size:
            return whole
        whole.opt.etag = hashlib.sha1(whole.payload).digest()[:8]
        whole.remote = request.remote
        self._block2._completes[_extract_block_key(request)] = whole
        block = whole._extract_block(0, self.block, size)
        block.transport_tuning = self.tuning()
        return block


def encode_senml(values, form):
    records = []
    for path, value in values.items():
        if isinstance(value, bool):
            record = {"n": path, "vb": value}
        elif isinstance(value, (int, float)):
            record = {"n": path, "v": value}
        elif isinstance(value, bytes):
            record = {"n": path, "vd": value}
        else:
            record = {"n": path, "vs": value}
        records.append(record)
    if form == SENML_CBOR:
        return cbor2.dumps([{LABELS[key]: value for key, value in record.items()} for record in records])
    for record in records:
        if "vd" in record:
            record["vd"] = base64.urlsafe_b64encode(record["vd"]).decode().rstrip("=")
    return json.dumps(records).encode()


def decode_senml(payload, form):
    """The values of a pack by path, None where a record names a path alone."""
    if form == SENML_CBOR:
        names = {label: key for key, label in LABELS.items()}
        records = [
            {names.get(label, label): value for label, value in record.items()}
            for record in cbor2.loads(payload)
        ]
    else:
        records = json.loads(payload)
    base, values = "", {}
    for record in records:
        base = record.get("bn", base)
        found = [record[key] for key in ("v", "vs", "vb", "vd", "vlo") if key in record]
        if "vd" in record and isinstance(found[0], str):
            text = record["vd"]
            found = [base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))]
        name = base + record.get("n", "")
        if not name.startswith("/"):
            raise BadRequest("a name without slash")
        values[name] = found[0] if found else None
    return values


class Client:
    """What the device asks of its server, over the socket it is reached at."""

    def __init__(self, context, device, options):
        self.context = context
        self.device = device
        self.options = options
        self.registration = None

    def request(self, code, path, **options):
        message = Message(code=code, uri=f"coap://{self.options['server']}/{path}", **options)
        return message

    async def ask(self, request):
        await self.context.find_remote_and_interface(request)
        request.remote.maximum_block_size_exp = self.device.block
        return await self.context.request(request).response

    def object_list(self):
        links = [f'</>;rt="oma.lwm2m";ct="{self.options.get("ct", "110 112")}"', "</3>;ver=1.2"]
        links += [f"<{instance}>" for instance in self.device.instances()]
        links += [f"</3303/{number}>" for number in range(1, 1 + int(self.options.get("links", "0")))]
        return ",".join(links).encode()

    async def register(self):
        name = self.options["endpoint"]
        request = self.request(Code.POST, "rd", payload=self.object_list(), content_format=LINK)
        request.opt.uri_query = [f"ep={name}", "lt=300", "lwm2m=1.1", "b=U"]
        answer = await self.ask(request)
        if answer.code == Code.CREATED:
            self.registration = "/".join(answer.opt.location_path)
            event(f"registered {self.registration}")
        else:
            event(f"registration-failed {answer.code.dotted}")

    async def send(self, form, paths):
        values = {}
        for path in paths:
            values.update(self.device.below(path))
        request = self.request(
            Code.POST, "dp", payload=encode_senml(values, form), content_format=form
        )
        answer = await self.ask(request)
        event("sent" if answer.code == Code.CHANGED else f"send-failed {answer.code.dotted}")

    async def update(self):
        answer = await self.ask(self.request(Code.POST, self.registration))
        event("updated" if answer.code == Code.CHANGED else f"update-failed {answer.code.dotted}")

    async def deregister(self):
        answer = await self.ask(self.request(Code.DELETE, self.registration))
        event("deregistered" if answer.code == Code.DELETED else f"error {answer.code.dotted}")

    async def execute(self, words):
        device = self.device
        match words:
            case ["set", path, value]:
                device.values[path] = type(device.values.get(path, ""))(value)
                device.changed([path])
            case ["grow", path, length]:
                device.values[path] = ("0123456789" * (int(length) // 10 + 1))[: int(length)]
                device.changed([path])
            case ["echo"]:
                event("echo")
            case ["con"]:
                device.tuning = Reliable
            case ["non"]:
                device.tuning = Unreliable
            case ["delay", seconds]:
                device.delay = float(seconds)
            case ["send", form, *paths]:
                await self.send(int(form), paths)
            case ["update"]:
                await self.update()
            case ["deregister"]:
                await self.deregister()
            case _:
                event(f"error unknown command {' '.join(words)}")


async def main():
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    device = Device(options)
    context = await Context.create_server_context(
        device, bind=("127.0.0.1", 0), transports=["udp6"]
    )
    client = Client(context, device, options)
    loop = asyncio.get_running_loop()
    try:
        await client.register()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            words = line.split()
            if words == ["quit"]:
                break
            try:
                await client.execute(words)
            except Exception as error:  # A command that fails is an event, not the end.
                event(f"error {words}: {error!r}")
    finally:
        await context.shutdown()


asyncio.run(main())
