"""Ways out: the queue and its counts, then each delivery against a real server, then a run that tells both."""

from __future__ import annotations

import datetime
import gc
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from reid_pipeline.configs.output_settings import MqttSettings, WebhookSettings
from reid_pipeline.pipeline import outlet as outlet_module
from reid_pipeline.pipeline.events import Event, event_line
from reid_pipeline.pipeline.mqtt_delivery import MqttDelivery
from reid_pipeline.pipeline.outlet import BackOff, NotDelivered, Outlet, Told
from reid_pipeline.pipeline.webhook_delivery import SIGNATURE, WebhookDelivery, sign
from tests.mqtt_broker import PROGRAM, Broker, Listener, free_port
from tests.pipeline.run_site import RunSite

needs_mosquitto = [
    pytest.mark.mosquitto,
    pytest.mark.skipif(PROGRAM is None, reason="needs mosquitto: apt-get install mosquitto"),
]
SOON = BackOff(0.001, 0.01)
PATIENCE_S = 20


def event(number, kind="alert"):
    return Event(kind, "2026-11-20T08:00:00.000Z", "hall", number, number)


class Scripted:
    """A delivery that does what it was told, one answer a call: True, False or an error."""

    def __init__(self, *answers, unconfirmed=0):
        self.answers = list(answers)
        self.unconfirmed = unconfirmed
        self.delivered = []
        self.calls = 0
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def open(self):
        pass

    def deliver(self, event):
        self.calls += 1
        self.entered.set()
        assert self.go_on.wait(PATIENCE_S)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        if answer:
            self.delivered.append(event.tracklet)
        return answer

    def close(self):
        return self.unconfirmed


class TestOutlet:
    def test_events_of_its_types_are_told_in_order(self):
        delivery = Scripted()
        with Outlet("x", delivery, ("alert", "end"), SOON) as outlet:
            outlet.tell([event(1), event(2, "new"), event(3, "end")])
            outlet.tell([event(4)])
        assert delivery.delivered == [1, 3, 4]
        assert outlet.told() == Told(3, 0)

    def test_what_cannot_be_told_now_is_told_later_and_nothing_overtakes(self, caplog):
        caplog.set_level(logging.INFO)
        delivery = Scripted(NotDelivered("is away"), NotDelivered("is away"), True)
        with Outlet("x", delivery, ("alert",), SOON) as outlet:
            outlet.tell([event(1), event(2)])
        assert delivery.delivered == [1, 2]
        assert outlet.told() == Told(2, 0)
        assert caplog.text.count("x: is away; trying again") == 1  # not once a try
        assert "x: reached again" in caplog.text

    def test_what_is_refused_for_good_is_counted(self):
        delivery = Scripted(False, True)
        with Outlet("x", delivery, ("alert",), SOON) as outlet:
            outlet.tell([event(1), event(2)])
        assert delivery.delivered == [2]
        assert outlet.told() == Told(1, 1)

    def test_the_oldest_goes_where_the_queue_is_full_and_nobody_waits(self):
        delivery = Scripted()
        delivery.go_on.clear()
        with Outlet("x", delivery, ("alert",), SOON, size=3) as outlet:
            outlet.tell([event(1)])
            assert delivery.entered.wait(PATIENCE_S)
            outlet.tell([event(number) for number in range(2, 8)])  # returns although nothing is taken
            assert outlet.told() == Told(0, 4)
            delivery.go_on.set()
        assert delivery.delivered == [1, 5, 6, 7]  # 1 was on its way when it was dropped
        assert outlet.told() == Told(4, 3)

    def test_the_end_waits_for_a_while_and_counts_what_is_left(self, monkeypatch, caplog):
        monkeypatch.setattr(outlet_module, "FLUSH_S", 0.05)
        delivery = Scripted(*[NotDelivered("is away")] * 1000)
        with Outlet("x", delivery, ("alert",), SOON) as outlet:
            outlet.tell([event(1), event(2)])
        assert outlet.told() == Told(0, 2)
        assert "x: 2 events were not told" in caplog.text
        assert delivery.calls > 1

    def test_what_nobody_confirmed_was_not_told(self):
        with Outlet("x", Scripted(unconfirmed=1), ("alert",), SOON) as outlet:
            outlet.tell([event(1), event(2)])
        assert outlet.told() == Told(1, 1)

    def test_a_fault_of_the_delivery_ends_it_alone(self, caplog):
        with Outlet("x", Scripted(ZeroDivisionError("oh")), ("alert",), SOON) as outlet:
            outlet.tell([event(1), event(2)])
        assert outlet.told() == Told(0, 2)
        assert "x: nothing more is told" in caplog.text


class Hook:
    """A web server that notes what is posted and answers as it was told."""

    def __init__(self):
        self.posted = []
        self.answers = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posted.append((self.path, dict(self.headers), body))
                self.send_response(hook.answers.pop(0) if hook.answers else 204)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?token=t0k"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def webhook(url, **settings):
    return WebhookDelivery(WebhookSettings.model_validate({"url": url, **settings}))


def mqtt(port, site="hq", **settings):
    return MqttDelivery(MqttSettings.model_validate({"host": "127.0.0.1", "port": port, **settings}), site)


class WebhookSide:
    """The server of a delivery as the contract sees it."""

    def __init__(self, hook):
        self.delivery = webhook(hook.url)
        self.unreachable = webhook(f"http://127.0.0.1:{free_port()}/")
        self._hook = hook

    def wait_for(self, count):
        assert len(self._hook.posted) == count
        return [json.loads(body) for _, _, body in self._hook.posted]


class MqttSide:
    def __init__(self, broker):
        self.delivery = mqtt(broker.port)
        self.unreachable = mqtt(free_port())
        self.listener = Listener(broker, "reid-pipeline/hq/alert")

    def wait_for(self, count):
        return [json.loads(text) for _, text, _ in self.listener.wait_for(count)]


@pytest.fixture(params=["webhook", pytest.param("mqtt", marks=needs_mosquitto)])
def side(request):
    if request.param == "webhook":
        yield WebhookSide(request.getfixturevalue("hook"))
    else:
        side = MqttSide(request.getfixturevalue("broker"))
        yield side
        side.listener.close()


class TestDelivery:
    """The contract of `outlet.Delivery`."""

    def test_events_arrive_whole_and_in_order(self, side):
        side.delivery.open()
        for number in range(1, 151):  # more than may be unconfirmed
            assert side.delivery.deliver(event(number))
        assert side.delivery.close() == 0
        assert side.wait_for(150) == [json.loads(event_line(event(number))) for number in range(1, 151)]

    def test_who_cannot_be_reached_is_no_fault_of_the_event(self, side, monkeypatch):
        monkeypatch.setattr("reid_pipeline.pipeline.mqtt_delivery._PATIENCE_S", 0.1)
        side.unreachable.open()
        with pytest.raises(NotDelivered, match=r"127\.0\.0\.1.* cannot be reached"):
            side.unreachable.deliver(event(1))
        assert side.unreachable.close() == 0


class TestWebhook:
    def test_what_is_posted(self, hook):
        assert webhook(hook.url, secret="s3cret").deliver(event(1))
        [(path, headers, body)] = hook.posted
        assert path == "/hook?token=t0k"
        assert headers["Content-Type"] == "application/json"
        assert headers[SIGNATURE] == sign(body, "s3cret")
        assert body.decode() == event_line(event(1))

    def test_without_a_secret_it_is_not_signed(self, hook):
        webhook(hook.url).deliver(event(1))
        assert SIGNATURE not in hook.posted[0][1]

    @pytest.mark.parametrize("code", [400, 404, 413, 302])
    def test_what_is_refused_is_not_tried_again(self, hook, code):
        hook.answers = [code]
        assert not webhook(hook.url).deliver(event(1))
        assert len(hook.posted) == 1  # a redirect is not followed

    @pytest.mark.parametrize("code", [408, 429, 500, 503])
    def test_who_is_busy_is_asked_again_and_the_token_is_not_told(self, hook, code):
        hook.answers = [code]
        with pytest.raises(NotDelivered, match=rf"127\.0\.0\.1 answers {code}") as refused:
            webhook(hook.url).deliver(event(1))
        assert "t0k" not in str(refused.value)

    def test_an_outlet_tries_until_it_is_accepted(self, hook):
        hook.answers = [503, 500, 204]
        with Outlet("webhook", webhook(hook.url), ("alert",), SOON) as outlet:
            outlet.tell([event(1), event(2)])
        assert [json.loads(body)["tracklet"] for *_, body in hook.posted] == [1, 1, 1, 2]
        assert outlet.told() == Told(2, 0)


class TestMqtt:
    pytestmark = needs_mosquitto

    def test_topics_and_the_status(self, broker):
        listener = Listener(broker)
        with Outlet("mqtt", mqtt(broker.port, "h/q", topic="a/b"), ("alert", "end"), SOON) as outlet:
            outlet.tell([event(1), event(2, "end")])
        listener.wait_for(4)
        listener.close()
        assert [(topic, text) for topic, text, _ in listener.messages if "status" not in topic] == [
            ("a/b/h_q/alert", event_line(event(1))),
            ("a/b/h_q/end", event_line(event(2, "end"))),
        ]
        later = Listener(broker)
        assert later.wait_for(1) == [("a/b/h_q/status", "offline", True)]
        later.close()

    def test_who_is_killed_is_offline_by_the_last_will(self, broker):
        delivery = mqtt(broker.port)
        delivery.open()
        listener = Listener(broker, "reid-pipeline/hq/status")
        assert listener.wait_for(1)[0][1] == "online"
        delivery._client.loop_stop()
        delivery._client.socket().close()  # as a process that dies: without a goodbye
        assert listener.wait_for(2)[-1][1] == "offline"
        listener.close()

    def test_a_broker_that_comes_back_gets_what_was_told_meanwhile(self, broker, monkeypatch):
        monkeypatch.setattr("reid_pipeline.pipeline.mqtt_delivery._PATIENCE_S", 0.1)
        delivery = mqtt(broker.port)
        with Outlet("mqtt", delivery, ("alert",), SOON) as outlet:
            first = Listener(broker, "reid-pipeline/hq/alert")
            outlet.tell([event(1)])
            first.wait_for(1)
            first.close()
            broker.stop()
            outlet.tell([event(2), event(3)])
            broker.start()
            second = Listener(broker, "reid-pipeline/hq/alert")
            numbers = [json.loads(text)["tracklet"] for _, text, _ in second.wait_for(2)]
            second.close()
        assert numbers == [2, 3]
        assert outlet.told() == Told(3, 0)

    def test_a_wrong_password_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setattr("reid_pipeline.pipeline.mqtt_delivery._PATIENCE_S", 1.0)
        broker = Broker(tmp_path, "allow_anonymous false")
        broker.start()
        delivery = mqtt(broker.port, user="reid", password="wrong")
        delivery.open()
        with pytest.raises(NotDelivered, match="refuses: Not authorized") as refused:
            delivery.deliver(event(1))
        assert "wrong" not in str(refused.value)
        delivery.close()
        broker.stop()

    # The client leaves a socket whose handshake fails to the garbage collector.
    @pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")
    def test_the_certificate_of_the_broker_is_checked(self, tmp_path, monkeypatch):
        monkeypatch.setattr("reid_pipeline.pipeline.mqtt_delivery._PATIENCE_S", 1.0)
        certificate, key = write_certificate(tmp_path)
        broker = Broker(tmp_path, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
        broker.start()
        stranger = mqtt(broker.port, tls=True)
        stranger.open()
        with pytest.raises(NotDelivered, match="cannot be reached"):
            stranger.deliver(event(1))
        stranger.close()
        del stranger
        gc.collect()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        delivery = mqtt(broker.port, tls=True)
        delivery.open()
        assert delivery.deliver(event(1))
        assert delivery.close() == 0
        broker.stop()


def write_certificate(folder):
    """A certificate of this machine that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return paths


def test_a_run_tells_a_web_address(scene, tmp_path, hook):
    outputs = {"webhook": {"url": hook.url, "secret": "s3cret", "types": ["new", "end"]}}
    site = RunSite(tmp_path / "site", {**scene.settings, "outputs": outputs})
    assert site.run() == 0
    told = [json.loads(body) for *_, body in hook.posted]
    assert told == [each for each in site.events() if each["type"] in ("new", "end")]
    summary = site.summary()
    assert summary["outputs"] == {"webhook": {"sent": len(told), "dropped": 0}}
    assert "t0k" not in json.dumps(summary)
    assert "s3cret" not in json.dumps(summary) + str(site.query("SELECT settings FROM runs"))
    assert "t0k" not in str(site.query("SELECT settings FROM runs"))


@pytest.mark.mosquitto
@pytest.mark.skipif(PROGRAM is None, reason="needs mosquitto: apt-get install mosquitto")
def test_a_run_tells_a_broker(scene, tmp_path, broker):
    outputs = {"mqtt": {"host": "127.0.0.1", "port": broker.port}, "events": False}
    site = RunSite(tmp_path / "site", {**scene.settings, "outputs": outputs})
    listener = Listener(broker)
    assert site.run() == 0
    sent = site.summary()["outputs"]["mqtt"]
    assert sent["dropped"] == 0
    listener.wait_for(sent["sent"] + 2)  # and the status
    listener.close()
    kinds = {topic.rpartition("/")[2] for topic, *_ in listener.messages}
    assert {"new", "update", "end", "camera", "status"} <= kinds
    for topic, text, _ in listener.messages:
        assert topic.startswith("reid-pipeline/site/")
        assert topic.endswith("status") or json.loads(text)["type"] == topic.rpartition("/")[2]
