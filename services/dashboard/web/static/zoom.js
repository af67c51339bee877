// Zoom and move an image: by wheel, by dragging, by two fingers, or by a call.

const MOST = 12;

export function zoomable(frame, image) {
  let scale = 1;
  let x = 0; // of the image's top left corner, in pixels of the frame
  let y = 0;
  const pointers = new Map();

  function apply() {
    x = Math.min(0, Math.max(frame.clientWidth * (1 - scale), x));
    y = Math.min(0, Math.max(frame.clientHeight * (1 - scale), y));
    image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  }

  function by(factor, atX = frame.clientWidth / 2, atY = frame.clientHeight / 2) {
    const next = Math.min(MOST, Math.max(1, scale * factor));
    x = atX - ((atX - x) * next) / scale;
    y = atY - ((atY - y) * next) / scale;
    scale = next;
    apply();
  }

  function move(dx, dy) {
    x += dx;
    y += dy;
    apply();
  }

  const distance = ([one, other]) => Math.hypot(one.x - other.x, one.y - other.y);

  frame?.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    by(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  frame?.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    frame.setPointerCapture(event.pointerId);
  });
  frame?.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const apart = pointers.size === 2 ? distance([...pointers.values()]) : 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pointers.size === 1) move(event.clientX - before.x, event.clientY - before.y);
    else if (apart) by(distance([...pointers.values()]) / apart);
  });
  for (const end of ["pointerup", "pointercancel"]) frame?.addEventListener(end, (event) => pointers.delete(event.pointerId));

  return { by, move };
}
