// Draws the newest picture of each camera as it comes over one socket, its people on top of it, and how it is doing.
// A picture is a binary message: two bytes with the length of the head, the head as JSON, the JPEG.

const SVG = "http://www.w3.org/2000/svg";
const RECONNECT_MS = 2000;
const STATE_MS = 2000;
const LABEL_PX = 13;

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const wall = parentElement.querySelector(".wall");
  wall.style.setProperty("--columns", data.columns);
  const tiles = buildTiles(wall, data.cameras);
  let socket, timer, poll, ended = false;

  const connect = () => {
    if (ended) return;
    const address = new URL(`/live/wall/${data.token}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => show(event.data, tiles, data, setTriggerValue);
    socket.onclose = (event) => { if (!ended && event.code !== 4403) timer = setTimeout(connect, RECONNECT_MS); };
  };
  const ask = async () => {
    try {
      const answer = await fetch(`/live/state/${data.token}`);
      if (answer.ok) tell(await answer.json(), tiles);
    } catch { /* the server is away; the next call may find it */ }
    if (!ended) poll = setTimeout(ask, STATE_MS);
  };
  connect();
  ask();
  return () => {
    ended = true;
    clearTimeout(timer);
    clearTimeout(poll);
    socket?.close();
    tiles.forEach((tile) => tile.url && URL.revokeObjectURL(tile.url));
  };
}

function buildTiles(wall, cameras) {
  wall.replaceChildren();
  return new Map(cameras.map((camera) => {
    const tile = document.createElement("figure");
    tile.className = "tile";
    tile.setAttribute("role", "listitem");
    tile.innerHTML = `<div class="picture"><span class="none">no picture yet</span><img alt="" hidden><svg></svg></div>
      <figcaption><span class="dot"></span><b></b><span class="state"></span><span class="figures"></span></figcaption>`;
    tile.querySelector("b").textContent = camera;
    tile.querySelector("img").alt = `Newest picture of ${camera}`;
    wall.append(tile);
    return [camera, { tile, url: null }];
  }));
}

function show(message, tiles, data, setTriggerValue) {
  const length = new DataView(message).getUint16(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(message, 2, length)));
  const entry = tiles.get(head.camera);
  if (!entry) return;
  const image = entry.tile.querySelector("img");
  const before = entry.url;
  entry.url = URL.createObjectURL(new Blob([new Uint8Array(message, 2 + length)], { type: "image/jpeg" }));
  image.onload = () => before && URL.revokeObjectURL(before);
  image.src = entry.url;
  image.hidden = false;
  entry.tile.querySelector(".none").hidden = true;
  drawPeople(entry.tile.querySelector("svg"), head, data, setTriggerValue);
}

function drawPeople(svg, head, data, setTriggerValue) {
  svg.setAttribute("viewBox", `0 0 ${head.width} ${head.height}`);
  svg.style.fontSize = `${LABEL_PX * head.width / Math.max(svg.clientWidth, 1)}px`;
  svg.replaceChildren(...head.boxes.flatMap((each) => {
    const [x1, y1, x2, y2] = each.box;
    const colour = each.identity === null ? data.unknown : data.colours[each.identity % data.colours.length];
    const name = each.identity === null ? "not known yet" : `person ${each.identity}`;
    const box = element("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, stroke: colour, tabindex: 0,
      role: "button", "aria-label": `Search for ${name} in ${head.camera}` });
    const key = `${head.camera}:${each.tracklet}`;
    box.addEventListener("click", () => setTriggerValue("person", key));
    box.addEventListener("keydown", (event) => event.key === "Enter" && setTriggerValue("person", key));
    const title = element("title", {});
    title.textContent = `${name}: click to search`;
    box.append(title);
    const label = element("text", { x: x1 + 2, y: Math.max(y1 - 4, 12), fill: colour });
    label.textContent = each.identity === null ? "" : each.identity;
    return [box, label];
  }));
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  return made;
}

function tell(state, tiles) {
  const known = new Map(state.cameras.map((each) => [each.camera, each]));
  tiles.forEach(({ tile }, camera) => {
    const each = known.get(camera);
    const word = each ? each.state : "no run goes on";
    tile.querySelector(".dot").className = `dot ${each ? each.state : ""}`;
    const caption = tile.querySelector(".state");
    caption.textContent = !each ? word : each.state === "online" ? "" : `${word} ${since(each.since_us)}`;
    caption.title = each?.detail ?? "";
    const figures = tile.querySelector(".figures");
    figures.textContent = each ? describe(each) : "";
    figures.title = each ? explain(each) : "";
  });
}

function describe(each) {
  const lag = each.live && each.lag_ms !== null ? ` · ${(each.lag_ms / 1000).toFixed(1)} s behind` : "";
  const dropped = sum(each.dropped, (reason) => reason !== "sampled");
  return `${each.people} here · ${each.fps.toFixed(1)} fps${lag}${dropped ? ` · ${dropped} dropped` : ""}`;
}

function explain(each) {
  const reasons = Object.entries(each.dropped).map(([reason, count]) => `${reason} ${count}`).join(", ");
  return `Frames looked at in a second, over the last five. ${each.frames} in all. ` +
    `Behind: from the camera to the decision. Not looked at: ${reasons || "none"}.`;
}

function since(time_us) {
  const seconds = Math.max(0, Date.now() / 1000 - time_us / 1e6);
  return seconds < 90 ? `for ${seconds.toFixed(0)} s` : `for ${(seconds / 60).toFixed(0)} min`;
}

function sum(counts, wanted) {
  return Object.entries(counts).reduce((total, [reason, count]) => total + (wanted(reason) ? count : 0), 0);
}
