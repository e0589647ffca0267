// A grid of links with pictures. A plain click stays in the page, whose script is told; any other opens the address.

const ARROWS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -0.5, ArrowDown: 0.5 };

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const grid = parentElement.querySelector(".cards");
  const cards = data.cards.map((each) => buildCard(each, setTriggerValue));
  grid.replaceChildren(...cards);
  grid.onkeydown = (event) => move(event, grid, cards);
}

function buildCard(each, setTriggerValue) {
  const card = document.createElement("a");
  card.className = "card";
  card.href = each.address;
  card.target = "_top";
  card.style.setProperty("--colour", each.colour);
  const picture = document.createElement("div");
  picture.className = "picture";
  picture.append(each.picture ? image(each) : span("no picture is left"));
  const text = document.createElement("div");
  text.className = "text";
  const title = document.createElement("b");
  title.textContent = each.title;
  text.append(title, ...each.lines.map(line));
  card.append(picture, text);
  card.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    setTriggerValue("opened", each.key);
  });
  return card;
}

function image(each) {
  const made = document.createElement("img");
  made.loading = "lazy";
  made.alt = `Picture of ${each.title}`;
  made.src = each.picture;
  made.onerror = () => made.replaceWith(span("no picture is left"));
  return made;
}

function span(text) {
  const made = document.createElement("span");
  made.textContent = text;
  return made;
}

function line([text, help]) {
  const made = document.createElement("div");
  made.className = "line";
  made.textContent = text;
  made.title = help;
  return made;
}

function move(event, grid, cards) {
  const step = ARROWS[event.key];
  const at = cards.findIndex((card) => card.matches(":focus"));
  if (!step || at < 0) return;
  event.preventDefault();
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  cards[at + (Math.abs(step) === 1 ? step : Math.sign(step) * columns)]?.focus();
}
