// A picture in which somebody is chosen by a click, or by Tab and Enter.

const SVG = "http://www.w3.org/2000/svg";

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  parentElement.querySelector("img").src = data.picture;
  const svg = parentElement.querySelector("svg");
  svg.setAttribute("viewBox", `0 0 ${data.width} ${data.height}`);
  svg.replaceChildren(...data.boxes.map(([x1, y1, x2, y2], place) => {
    const box = document.createElementNS(SVG, "rect");
    const attributes = { x: x1, y: y1, width: x2 - x1, height: y2 - y1, tabindex: 0, role: "button",
      "aria-label": `Person ${place + 1} of ${data.boxes.length}` };
    Object.entries(attributes).forEach(([key, value]) => box.setAttribute(key, value));
    box.addEventListener("click", () => setTriggerValue("chosen", place));
    box.addEventListener("keydown", (event) => event.key === "Enter" && setTriggerValue("chosen", place));
    return box;
  }));
}
