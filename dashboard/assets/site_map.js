// Cameras on a plan, and arrows between them. While cameras are being placed they can be dragged, or moved by arrow keys.

const SVG = "http://www.w3.org/2000/svg";
const RADIUS = 18;
const LOWEST = 260;
const HIGHEST = 560;
const STEP = 0.01;
const MOVES = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".map");
  root.classList.toggle("placing", data.placing);
  // Drawn in pixels of the screen, and anew where there is more or less room: texts stay as large as they are.
  let shown = 0;
  const fit = () => {
    const most = data.plan ? HIGHEST / data.aspect : Infinity;
    const width = Math.min(Math.max(root.clientWidth, 240), most);
    if (Math.abs(width - shown) > 2) draw(root, data, { width, height: heightOf(data, width) }, setTriggerValue);
    shown = Math.abs(width - shown) > 2 ? width : shown;
  };
  fit();
  const observer = new ResizeObserver(fit);
  observer.observe(root);
  return () => observer.disconnect();
}

function heightOf(data, width) {
  return data.plan ? width * data.aspect : Math.min(Math.max(width * data.aspect, LOWEST), HIGHEST);
}

function draw(root, data, size, setTriggerValue) {
  const svg = element("svg", { viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": data.label });
  svg.style.width = `${size.width}px`;
  svg.append(arrowHead());
  if (data.plan) svg.append(element("image", { href: data.plan, width: size.width, height: size.height }));
  const places = new Map(data.cameras.map((each) => [each.name, { x: each.x, y: each.y }]));
  const flows = element("g", {});
  const follow = () => flows.replaceChildren(...data.flows.flatMap((each) => drawFlow(each, places, size)));
  follow();
  svg.append(flows, ...data.cameras.map((each) => drawCamera(each, places, size, data, svg, follow, setTriggerValue)));
  root.replaceChildren(svg);
}

function drawCamera(each, places, size, data, svg, follow, setTriggerValue) {
  const group = element("g", { class: "camera", tabindex: data.placing ? 0 : -1 });
  const place = places.get(each.name);
  const put = () => group.setAttribute("transform", `translate(${place.x * size.width} ${place.y * size.height})`);
  const moveTo = (x, y) => {
    place.x = Math.min(1, Math.max(0, x));
    place.y = Math.min(1, Math.max(0, y));
    put();
    follow();
  };
  const tell = () => setTriggerValue("placed", { camera: each.name, x: place.x, y: place.y });
  put();
  const below = element("text", { y: RADIUS + 17 });
  below.textContent = each.name;
  const inside = element("text", { class: "inside" });
  inside.textContent = each.text;
  const title = element("title", {});
  title.textContent = each.help;
  group.append(title, element("circle", { r: RADIUS }), inside, below);
  if (data.placing) makeMovable(group, svg, size, place, moveTo, tell);
  return group;
}

function makeMovable(group, svg, size, place, moveTo, tell) {
  let held = false;
  group.addEventListener("pointerdown", (event) => {
    held = true;
    group.setPointerCapture(event.pointerId);
  });
  group.addEventListener("pointermove", (event) => {
    if (!held) return;
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    moveTo(point.x / size.width, point.y / size.height);
  });
  const release = () => {
    if (held) tell();
    held = false;
  };
  group.addEventListener("pointerup", release);
  group.addEventListener("pointercancel", release);
  group.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    moveTo(place.x + move[0], place.y + move[1]);
  });
  group.addEventListener("keyup", (event) => MOVES[event.key] && tell());
}

function drawFlow(each, places, size) {
  const from = places.get(each.origin), to = places.get(each.goal);
  const [x1, y1, x2, y2] = [from.x * size.width, from.y * size.height, to.x * size.width, to.y * size.height];
  const length = Math.hypot(x2 - x1, y2 - y1);
  if (length < 2 * RADIUS) return [];
  // Bent to the left, so that the way there and the way back lie side by side.
  const bend = 0.16;
  const middle = [(x1 + x2) / 2 + (y2 - y1) * bend, (y1 + y2) / 2 - (x2 - x1) * bend];
  const begin = towards([x1, y1], middle, RADIUS), end = towards([x2, y2], middle, RADIUS + 6);
  const path = element("path", { class: "flow", "stroke-width": each.width, "marker-end": "url(#head)",
    d: `M ${begin[0]} ${begin[1]} Q ${middle[0]} ${middle[1]} ${end[0]} ${end[1]}` });
  const title = element("title", {});
  title.textContent = each.help;
  path.append(title);
  const half = [(begin[0] + 2 * middle[0] + end[0]) / 4, (begin[1] + 2 * middle[1] + end[1]) / 4];
  const time = element("text", { class: "time", x: half[0], y: half[1] });
  time.textContent = each.text;
  return [path, time];
}

function towards([x, y], [goalX, goalY], distance) {
  const length = Math.hypot(goalX - x, goalY - y) || 1;
  return [x + (goalX - x) / length * distance, y + (goalY - y) / length * distance];
}

function arrowHead() {
  const defs = element("defs", {});
  const marker = element("marker", { id: "head", viewBox: "0 0 10 10", refX: 7, refY: 5, orient: "auto",
    markerWidth: 14, markerHeight: 14, markerUnits: "userSpaceOnUse" });
  marker.append(element("path", { d: "M 0 0 L 10 5 L 0 10 z", fill: "context-stroke" }));
  defs.append(marker);
  return defs;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  return made;
}
