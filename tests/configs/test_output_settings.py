import logging

import pytest

from reid_pipeline.configs.errors import ConfigError
from reid_pipeline.configs.loading import load_settings
from reid_pipeline.configs.output_settings import EVENT_NAMES
from reid_pipeline.configs.settings import non_default

HALL = "cameras: {hall: {inputs: [{path: hall.mp4}]}}\n"


def load(folder, outputs):
    path = folder / "cameras.yaml"
    path.write_text(HALL + f"outputs: {outputs}\n", encoding="utf-8")
    return load_settings(path)


def test_what_is_left_out_is_usual(tmp_path):
    outputs = load(tmp_path, '{mqtt: {host: 10.0.0.9}, webhook: {url: "https://example.org/hook"}}').outputs
    assert (outputs.mqtt.port, outputs.mqtt.topic, outputs.mqtt.types) == (1883, "reid-pipeline", EVENT_NAMES)
    assert (outputs.webhook.types, outputs.webhook.secret) == (("alert",), None)
    assert load(tmp_path, "{mqtt: null, webhook: null}").outputs.mqtt is None


def test_secrets_come_from_the_environment_and_are_never_shown(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("REID_PASSWORD", "s3cret")
    monkeypatch.setenv("REID_HOOK", "https://example.org/t0k3n")
    mqtt = '{host: b, user: me, password: "{REID_PASSWORD}"}'
    webhook = '{url: "{REID_HOOK}", secret: "{REID_PASSWORD}"}'
    settings = load(tmp_path, f"{{mqtt: {mqtt}, webhook: {webhook}}}")
    assert settings.outputs.mqtt.password.get_secret_value() == "s3cret"
    assert settings.outputs.webhook.url.get_secret_value() == "https://example.org/t0k3n"
    shown = repr(settings) + repr(non_default(settings))
    assert "s3cret" not in shown
    assert "t0k3n" not in shown
    assert non_default(settings)["outputs.mqtt.host"] == "b"
    assert caplog.text == ""


def test_a_secret_that_stands_in_the_file_is_warned_of(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    load(tmp_path, '{mqtt: {host: b, user: me, password: s3cret}, webhook: {url: "https://e.org", secret: null}}')
    assert "cameras.yaml:2: outputs.mqtt.password stands in the file: write {REID_PASSWORD}" in caplog.text
    assert "s3cret" not in caplog.text
    assert "webhook" not in caplog.text


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("{mqtt: {}}", "outputs.mqtt.host: missing: expected text like 10.0.0.9"),
        ("{mqtt: {host: b, port: 0}}", "outputs.mqtt.port: 0: expected a whole number >= 1 and <= 65535"),
        ("{mqtt: {host: b, topic: a/#}}", "outputs.mqtt.topic: a/#: expected a topic without + and #"),
        ("{mqtt: {host: b, topic: /a}}", "outputs.mqtt.topic: /a: expected a topic"),
        ("{mqtt: {host: b, types: [alarm]}}", "outputs.mqtt.types[0]: alarm: expected one of new, update, end"),
        ("{webhook: {url: ftp://a}}", "outputs.webhook.url: ftp://a: expected an address that begins with https://"),
        ('{webhook: {url: "https://a", urls: a}}', "unknown key, did you mean url?"),
    ],
)
def test_mistakes_are_one_line(tmp_path, outputs, message):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, outputs)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
