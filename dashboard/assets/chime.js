// Sounds two short notes when a newer alert has come than the last time. Browsers let a page sound after a first click.

const NOTES_HZ = [660, 880];
const NOTE_S = 0.18;
let newest = null;

export default function (component) {
  const { data, parentElement } = component;
  const more = newest !== null && data.newest > newest;
  newest = Math.max(newest ?? 0, data.newest);
  parentElement.querySelector("span").textContent = data.on ? "Sound on" : "";
  if (more && data.on) sound();
}

function sound() {
  const context = new AudioContext();
  NOTES_HZ.forEach((hertz, place) => {
    const tone = context.createOscillator();
    const volume = context.createGain();
    const start = context.currentTime + place * NOTE_S;
    tone.frequency.value = hertz;
    volume.gain.setValueAtTime(0.15, start);
    volume.gain.exponentialRampToValueAtTime(0.001, start + NOTE_S);
    tone.connect(volume).connect(context.destination);
    tone.start(start);
    tone.stop(start + NOTE_S);
  });
  setTimeout(() => context.close(), 1000 * NOTE_S * (NOTES_HZ.length + 1));
}
