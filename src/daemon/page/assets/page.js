"use strict";
const $ = id => document.getElementById(id);
const SECONDS = 10;
const EVENTS = 20;
const STILL_S = 3;

const page = {
  token: "", session: "", about: null, status: null, sight: null,
  rows: [], events: 0, picture: null, fetching: false, until: 0, calibrating: false,
  testing: false, countdown: 0,
};

/* ---- the device ---------------------------------------------------------------------------- */

function headers() {
  const all = {};
  if (page.token) all.Authorization = "Bearer " + page.token;
  if (page.session) all["X-Glint-Session"] = page.session;
  return all;
}

async function post(path) {
  const reply = await fetch(path, { method: "POST", headers: headers() });
  if (!reply.ok) throw new Error(await reply.text());
  return reply.status === 204 ? null : reply.json();
}

const heard = {
  about(data) {
    page.about = data;
    $("device").textContent = data.device;
    $("foot").textContent = "glintd " + data.version + ". A facial movement is not an emotion.";
    document.title = "glint " + data.device;
  },
  hello(data) {
    page.session = data.session;
    forgetPicture();
    $("main").hidden = false;
    $("login").hidden = true;
  },
  status(data) { page.status = data; showStatus(); },
  sight(data) {
    page.sight = data;
    page.rows.push(...data.rows);
    const last = page.rows.length ? page.rows[page.rows.length - 1].t_ms : 0;
    page.rows = page.rows.filter(row => row.t_ms > last - 1000 * SECONDS && row.t_ms <= last);
    if (data.picture !== null && page.until > 0) fetchPicture();
    showSight();
  },
  event(data) { showEvent(data); },
  camera_test(data) { showCameraTest(data); },
  picture(data) {
    page.until = data.lasts_s > 0 ? Date.now() + 1000 * data.lasts_s : 0;
    if (page.until === 0) forgetPicture();
    showConfirmation();
  },
};

function hear(block) {
  let kind = "", data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (heard[kind] && data) heard[kind](JSON.parse(data));
}

// A stream that headers can be sent with, which EventSource cannot.
async function listen() {
  const reply = await fetch("/live", { headers: headers(), cache: "no-store" });
  if (reply.status === 401) return askForToken();
  if (!reply.ok) throw new Error(await reply.text());
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the device has closed the connection");
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    blocks.forEach(hear);
  }
}

function askForToken() {
  $("main").hidden = true;
  $("login").hidden = false;
  $("login-note").textContent = page.token ? "This token is refused." : "";
  page.token = "";
  state("locked", "fair");
  return new Promise(resolve => {
    $("login").onsubmit = event => {
      event.preventDefault();
      page.token = $("token").value.trim();
      $("token").value = "";
      resolve();
    };
  });
}

async function connect() {
  for (;;) {
    try {
      await listen();
    } catch (error) {
      page.session = "";
      page.status = null;
      if (page.testing) endCameraTest("Not tested: the connection was lost.", "bad");
      forgetPicture();
      showConfirmation();
      state("not connected: " + error.message, "bad");
      buttons();
    }
    await new Promise(done => setTimeout(done, 1000));
  }
}

/* ---- state and commands -------------------------------------------------------------------- */

function state(text, level) {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").dataset.level = level;
}

function buttons() {
  const now = page.status ? page.status.state : "";
  const paused = now === "paused" || now === "pausing";
  $("pause").disabled = !page.session || !now || paused;
  $("resume").disabled = !page.session || !paused;
  const seen = page.sight && page.sight.face && now === "streaming";
  $("calibrate").disabled = !page.session || !seen || page.calibrating;
  $("camera-test").disabled = !page.session || now !== "streaming" || page.testing;
}

function showStatus() {
  const { state: now, problems } = page.status;
  const known = page.about ? Object.keys(page.about.remedies) : [];
  const faults = problems.filter(word => !known.includes(word));
  const level = faults.length ? "bad" : problems.length || now !== "streaming" ? "fair" : "good";
  state([now, ...problems].join(", "), level);
  if (now !== "streaming") {
    page.sight = null;
    page.rows = [];
    forgetPicture();
    showConfirmation();
    showSight();
  }
  buttons();
}

async function command(word) {
  try {
    const reply = await post("/command/" + word);
    if (reply.error) throw new Error(reply.error);
    return true;
  } catch (error) {
    state(word + ": " + error.message, "bad");
    return false;
  }
}

/* ---- meters -------------------------------------------------------------------------------- */

// Name, unit, digits, largest value of the bar, and how good a value is.
const METERS = [
  ["Face size", "px", 0, 160, s => s.eyes_px, (v, l) => v < l.eyes_px ? "bad" : v < 1.25 * l.eyes_px ? "fair" : "good"],
  ["Light", "", 0, 255, s => s.light, (v, l, s) => v < l.light || s.saturated > l.saturated ? "bad"
    : v < 1.3 * l.light || s.saturated > l.saturated / 2 ? "fair" : "good"],
  ["Contrast", "", 0, 80, s => s.contrast, (v, l) => v < l.contrast ? "bad" : "good"],
  ["Flicker", "%", 1, 5, s => 100 * s.flicker, (v, l) => v > 100 * l.flicker ? "bad" : "good"],
  ["Sharpness", "", 2, 1, s => s.blur === null ? null : 1 - s.blur, (v, l) => 1 - v > l.blur ? "fair" : "good"],
  ["Motion", "px", 1, 10, s => s.face ? s.motion_px : null, (v, l, s) => s.reason === "too_fast" ? "bad" : "good"],
  ["Rate", "/s", 1, 120, s => s.fps, (v, l) => v < l.fps ? "bad" : v < l.good_fps ? "fair" : "good"],
  ["Noise", "", 1, 12, s => s.noise, (v, l) => v > l.noise ? "fair" : "good"],
];

function makeMeters() {
  const body = $("meters").tBodies[0];
  for (const [name] of METERS) {
    const row = body.insertRow();
    row.dataset.meter = name;
    row.dataset.level = "off";
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const bar = document.createElement("progress");
    bar.setAttribute("aria-label", name);
    row.append(head);
    row.insertCell().append(bar);
    row.insertCell();
  }
}

function showMeters() {
  const rows = $("meters").tBodies[0].rows;
  METERS.forEach(([, unit, digits, most, value, judge], i) => {
    const v = page.sight ? value(page.sight) : null;
    const row = rows[i], bar = row.querySelector("progress");
    const known = v !== null && v !== undefined;
    bar.max = most;
    bar.value = known ? Math.min(v, most) : 0;
    row.dataset.level = known ? judge(v, page.about.limits, page.sight) : "off";
    const text = known ? v.toFixed(digits) + (unit ? " " + unit : "") : "-";
    row.cells[2].textContent = text;
  });
}

/* ---- pictures ------------------------------------------------------------------------------ */

// Landmarks of the iBUG-68 scheme that a line joins.
const LINES = [[0, 16], [17, 21], [22, 26], [27, 30], [31, 35], [36, 41, true], [42, 47, true], [48, 59, true], [60, 67, true]];

function showView() {
  const canvas = $("view"), s = page.sight;
  const [w, h] = s ? [s.width, s.height] : [canvas.width, canvas.height];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, w, h);
  if (page.picture && page.until > 0) pen.drawImage(page.picture, 0, 0, w, h);
  if (!s || !s.face) return;
  const fine = Math.max(1, w / 320);
  pen.lineWidth = fine;
  pen.strokeStyle = pen.fillStyle = s.reason ? "#ffb454" : "#7ee787";
  pen.strokeRect(...s.face);
  for (const [from, to, closed] of LINES) {
    pen.beginPath();
    for (let i = from; i <= to; i++) pen.lineTo(...s.points[i]);
    if (closed) pen.closePath();
    pen.stroke();
  }
  for (const [x, y] of s.points) pen.fillRect(x - fine, y - fine, 2 * fine, 2 * fine);
}

async function fetchPicture() {
  if (page.fetching) return;
  page.fetching = true;
  try {
    const reply = await fetch("/picture", { headers: headers(), cache: "no-store" });
    if (reply.status === 200) {
      const picture = await createImageBitmap(await reply.blob());
      if (page.until > 0) page.picture = picture;
    }
  } catch (error) {
    forgetPicture();
  }
  page.fetching = false;
}

function forgetPicture() {
  if (page.picture) page.picture.close();
  page.picture = null;
  page.until = 0;
}

function showConfirmation() {
  const left = Math.ceil((page.until - Date.now()) / 1000);
  $("shown").hidden = !(page.until > 0);
  $("confirm").hidden = page.until > 0;
  if (page.until > 0) {
    const text = left >= 60 ? Math.floor(left / 60) + " min " + left % 60 + " s" : Math.max(left, 0) + " s";
    if ($("left").textContent !== text) $("left").textContent = text;
  }
  const streams = page.status && page.status.state === "streaming";
  $("show").disabled = !$("agreed").checked || !page.session || !streams;
}

function showTraces() {
  const canvas = $("traces"), pen = canvas.getContext("2d");
  const units = page.about ? page.about.aus : [];
  const style = getComputedStyle(document.documentElement);
  const [w, h] = [canvas.width, canvas.height], left = 64, lane = h / Math.max(units.length, 1);
  pen.clearRect(0, 0, w, h);
  pen.font = "15px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const last = page.rows.length ? page.rows[page.rows.length - 1].t_ms : 0;
  const x = t => left + (w - left) * (1 - (last - t) / (1000 * SECONDS));
  pen.fillStyle = style.getPropertyValue("--line");
  for (let from = 0, to = 0; from < page.rows.length; from = to + 1) {
    for (to = from; page.rows[from].gate && to + 1 < page.rows.length && page.rows[to + 1].gate;) to++;
    if (page.rows[from].gate) pen.fillRect(x(page.rows[from].t_ms), 0, Math.max(1, x(page.rows[to].t_ms) - x(page.rows[from].t_ms)), h);
  }
  units.forEach((unit, k) => {
    const base = (k + 1) * lane - 2;
    pen.fillStyle = style.getPropertyValue("--ink");
    pen.fillText("AU " + unit.au, 2, base - lane / 2 + 2);
    pen.strokeStyle = style.getPropertyValue("--trace");
    pen.lineWidth = 1.5;
    pen.beginPath();
    let down = false;
    for (const row of page.rows) {
      if (!row.au) { down = false; continue; }
      // Half a unit is seen; a strong one reaches into the lanes above.
      const y = base - 2.5 * (lane - 4) * Math.min(row.au[k], 5) / 5;
      if (down) pen.lineTo(x(row.t_ms), y); else pen.moveTo(x(row.t_ms), y);
      down = true;
    }
    pen.stroke();
  });
}

function showSight() {
  if (!page.about) return;
  const reason = page.sight && page.sight.reason;
  const text = reason ? reason + ": " + (page.about.remedies[reason] || "") : page.sight ? "The face is seen well." : "";
  if ($("remedy").textContent !== text) $("remedy").textContent = text;
  $("remedy").dataset.level = reason ? "fair" : "good";
  showMeters();
  showView();
  showTraces();
  buttons();
}

function showEvent(event) {
  const { data } = event, item = document.createElement("li");
  const units = data.aus.map(u => "AU " + u.au + " " + u.side + " " + u.intensity.toFixed(1)).join(", ");
  const length = Math.round((data.offset_ns - data.onset_ns) / 1e6);
  const at = new Date(event.time).toLocaleTimeString();
  const words = data.label ? ", " + data.label.class : "";
  item.textContent = at + " " + data.kind + ": " + units + ", " + length + " ms" + words;
  $("events").prepend(item);
  while ($("events").children.length > EVENTS) $("events").lastChild.remove();
  page.events += 1;
  $("no-events").hidden = true;
}

/* ---- calibration --------------------------------------------------------------------------- */

async function calibrate() {
  page.calibrating = true;
  buttons();
  const say = (text, level) => { $("calibration").textContent = text; $("calibration").dataset.level = level; };
  const wait = ms => new Promise(done => setTimeout(done, ms));
  try {
    for (let tenths = 10 * STILL_S; tenths > 0; tenths--) {
      say("Keep still: " + Math.ceil(tenths / 10), "fair");
      await wait(100);
      const s = page.sight;
      if (!s || !s.face) throw new Error("the face was lost");
      if (s.reason) throw new Error(s.reason + ": " + (page.about.remedies[s.reason] || ""));
    }
    if (!await command("calibrate")) throw new Error("the device did not take the command");
    const begun = page.rows.length ? page.rows[page.rows.length - 1].t_ms : 0;
    say("Taken. Measuring the rest.", "fair");
    // A slow device needs longer for a second of frames.
    let after = [];
    for (let tries = 0; tries < 40 && !(after.length > 10 && after[after.length - 1].t_ms > begun + 1500); tries++) {
      await wait(200);
      after = page.rows.filter(row => row.t_ms > begun + 500 && row.au);
    }
    if (!after.length) throw new Error("the face could not be measured afterwards");
    const means = page.about.aus.map((unit, k) => [after.reduce((sum, row) => sum + row.au[k], 0) / after.length, unit]);
    const [most, unit] = means.reduce((a, b) => b[0] > a[0] ? b : a);
    const text = "Done. The strongest unit at rest is AU " + unit.au + " (" + unit.name + ") with " + most.toFixed(1) + " of 5.";
    say(most < 1 ? text : text + " Calibrate again if the person moved.", most < 1 ? "good" : "fair");
  } catch (error) {
    say("Not calibrated: " + error.message, "bad");
  }
  page.calibrating = false;
  buttons();
}

/* ---- self-test of the camera --------------------------------------------------------------- */

// The words of `glintd doctor`, and their colours.
const LEVELS = { good: ["ok", "good"], note: ["note", ""], warning: ["warning", "fair"], fault: ["FAULT", "bad"] };

async function testCamera() {
  page.testing = true;
  buttons();
  $("findings").replaceChildren();
  $("camera-test-note").dataset.level = "fair";
  try {
    const reply = await post("/camera-test");
    if (!reply.accepted) throw new Error(reply.error);
    // It may have ended already, by a pause or a lost connection.
    if (!page.testing) return;
    const end = Date.now() + 1000 * reply.seconds;
    const say = () => { $("camera-test-note").textContent = "Watching: " + Math.max(0, Math.ceil((end - Date.now()) / 1000)); };
    say();
    page.countdown = setInterval(say, 250);
  } catch (error) {
    endCameraTest("Not tested: " + error.message, "bad");
  }
}

function endCameraTest(text, level) {
  clearInterval(page.countdown);
  page.testing = false;
  $("camera-test-note").textContent = text;
  $("camera-test-note").dataset.level = level;
  buttons();
}

function showCameraTest({ findings, error }) {
  if (error) return endCameraTest("Not tested: " + error, "bad");
  const lines = findings.map(finding => {
    const [word, level] = LEVELS[finding.level];
    const line = document.createElement("li"), head = document.createElement("strong");
    line.dataset.level = level;
    line.dataset.check = finding.check;
    head.textContent = word + " " + finding.check;
    line.append(head, (finding.fault ? finding.fault + ": " : "") + finding.text);
    if (finding.remedy) {
      const remedy = document.createElement("p");
      remedy.textContent = "Remedy: " + finding.remedy;
      line.append(remedy);
    }
    return line;
  });
  $("findings").replaceChildren(...lines);
  const wrong = findings.filter(finding => finding.fault).length;
  const faults = findings.some(finding => finding.level === "fault");
  const at = new Date().toLocaleTimeString();
  if (wrong) endCameraTest("Tested at " + at + ": " + wrong + " to correct.", faults ? "bad" : "fair");
  else endCameraTest("Tested at " + at + ": all is well.", "good");
}

/* ---- start --------------------------------------------------------------------------------- */

makeMeters();
$("pause").onclick = () => command("pause");
$("resume").onclick = () => command("resume");
$("calibrate").onclick = calibrate;
$("camera-test").onclick = testCamera;
$("agreed").onchange = showConfirmation;
const confirmPicture = () => post("/picture/confirm").catch(error => state("picture: " + error.message, "bad"));
$("show").onclick = () => { $("agreed").checked = false; confirmPicture(); };
$("again").onclick = confirmPicture;
$("hide").onclick = () => post("/picture/stop").catch(() => forgetPicture());
setInterval(showConfirmation, 500);
connect();
