'use strict';

// The page sends each image to POST /api/embed in a request of its own, so that
// vectors appear one by one and a bad image stands alone.

const parallel = 2; // requests at a time
const retries = 5; // after 429 and 503
const columns = 64; // values in a row of a vector's picture
const largestMatrix = 24; // images in the table of cosines

const $ = (id) => document.getElementById(id);
const clone = (id) => $(id).content.firstElementChild.cloneNode(true);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let api = null; // what GET /api says
let key = sessionStorage.getItem('key') || '';
let items = []; // in the order they were given
let queue = []; // items to send
let running = 0;

// Talking to the server

async function call(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key) headers.set('Authorization', 'Bearer ' + key);
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) {
    $('key').hidden = false;
    $('key-text').focus();
  }
  return response;
}

async function start() {
  let response;
  try {
    response = await call('/api');
  } catch {
    return offline('The server does not answer.');
  }
  if (response.status === 401) return;
  if (!response.ok) return offline('The server answers ' + response.status + ' to GET /api.');
  api = await response.json();

  const facts = {
    model: api.model,
    device: api.device,
    precision: api.precision,
    digest: api.model_digest.replace(/^sha256:/, '').slice(0, 12),
  };
  for (const [name, value] of Object.entries(facts)) {
    document.querySelector(`[data-fact="${name}"]`).textContent = value;
  }
  document.querySelector('[data-fact="digest"]').title = api.model_digest;
  document.title = 'vith: ' + api.model;
  $('facts').hidden = false;
  $('synthetic').hidden = !api.synthetic;
  $('offline').hidden = true;

  const outputs = Object.entries(api.outputs).filter(([, shape]) => shape.length === 1);
  $('output').replaceChildren(...outputs.map(([name, shape]) => {
    const chosen = name === api.output;
    return new Option(`${name} (${shape[0]})`, name, chosen, chosen);
  }));
  $('normalize').checked = api.normalize;
  showExamples();
  pump();
}

function offline(text) {
  $('offline').textContent = text;
  $('offline').hidden = false;
}

async function embed(item) {
  const query = new URLSearchParams({
    output: $('output').value,
    normalize: $('normalize').checked,
    crop: true,
  });
  for (let attempt = 0; ; attempt++) {
    const response = await call('/api/embed?' + query, {
      method: 'POST',
      headers: { 'Content-Type': 'application/octet-stream', Accept: 'application/json' },
      body: item.file,
    });
    if ((response.status === 429 || response.status === 503) && attempt < retries) {
      await pause(1000 * (Number(response.headers.get('Retry-After')) || 1));
      continue;
    }
    const answer = await response.json();
    if (!response.ok) throw answer.error;
    return { ...answer.data[0], timing: answer.timing_ms };
  }
}

// The queue

function add(files) {
  for (const file of files) {
    const item = { file, card: clone('card'), run: 0 };
    items.push(item);
    prepareCard(item);
    $('cards').append(item.card);
    submit(item);
  }
  pump();
}

function submit(item) {
  item.run++;
  item.result = null;
  item.fault = null;
  item.card.className = 'card waiting';
  queue.push(item);
}

function pump() {
  while (api && running < parallel && queue.length > 0) {
    running++;
    work(queue.shift()).finally(() => {
      running--;
      pump();
    });
  }
  showStatus();
}

async function work(item) {
  const run = item.run;
  let result = null;
  let fault = null;
  try {
    result = await embed(item);
    result.norm = Math.sqrt(dot(result.embedding, result.embedding));
  } catch (error) {
    fault = error.code ? error : { code: 'no_answer', message: 'The server did not answer.' };
  }
  if (run !== item.run || !items.includes(item)) return; // asked again, or cleared
  item.result = result;
  item.fault = fault;
  showCard(item);
  showMatrix();
}

function resubmit(which) {
  queue = [];
  which.forEach(submit);
  showMatrix();
  pump();
}

// Cards

function prepareCard(item) {
  const { card, file } = item;
  card.querySelector('h3').textContent = file.name || 'pasted image';
  card.querySelector('h3').title = file.name;
  card.querySelector('.file').textContent = bytes(file.size);
  const canvas = card.querySelector('canvas');
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) / box.width * canvas.width);
    const y = Math.floor((event.clientY - box.top) / box.height * canvas.height);
    readOut(item, y * columns + x);
  });
  canvas.addEventListener('pointerleave', () => readOut(item, -1));
  canvas.addEventListener('blur', () => readOut(item, -1));
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (!step || !item.result) return;
    event.preventDefault();
    const last = item.result.embedding.length - 1;
    readOut(item, Math.min(Math.max(item.cursor + step, 0), last));
  });
  card.querySelector('button').addEventListener('click', (event) => {
    copy(event.target, JSON.stringify(item.result.embedding));
  });
  item.cursor = -1;
}

function showCard(item) {
  const { card, result, fault } = item;
  card.className = 'card ' + (fault ? 'bad' : 'done');
  const faultText = card.querySelector('.fault');
  faultText.replaceChildren();
  if (fault) {
    const code = document.createElement('strong');
    code.textContent = fault.code;
    faultText.append(code, ' ', fault.message);
    card.querySelector('.figures').textContent = '';
    return;
  }
  const { embedding, timing, crop, norm } = result;
  const image = card.querySelector('.crop');
  image.src = crop;
  image.alt = 'The crop that the model saw of ' + (item.file.name || 'the pasted image');
  const figures = card.querySelector('.figures');
  figures.textContent = `norm ${norm.toFixed(norm < 10 ? 4 : 2)} · ${milliseconds(timing.total)}`;
  figures.title = ['queue', 'preprocess', 'compute'].map((part) => `${part} ${milliseconds(timing[part])}`).join(', ');
  card.querySelector('canvas').setAttribute('aria-label',
    `${embedding.length} values as a picture, from ${signed(Math.min(...embedding))} to ${signed(Math.max(...embedding))}; arrow keys read single values`);
  paint(item);
  readOut(item, -1);
}

// readOut names the value at index, or the picture's scale if there is none.
function readOut(item, index) {
  if (!item.result) return; // asked again; the card waits
  const out = item.card.querySelector('output');
  const { embedding } = item.result;
  if (index < 0 || index >= embedding.length) {
    item.cursor = -1;
    out.textContent = `${embedding.length} values, colours ±${item.scale.toPrecision(2)}`;
    return;
  }
  item.cursor = index;
  out.textContent = `[${index}] ${signed(embedding[index])}`;
}

// paint draws one pixel for each value, from negative over zero to positive. The
// scale ends at the 98th percentile, since a few values of a CLIP vector are far
// larger than the others.
function paint(item) {
  const values = item.result.embedding;
  const sorted = values.map(Math.abs).sort((a, b) => a - b);
  item.scale = sorted[Math.floor(0.98 * (sorted.length - 1))] || 1;
  const [negative, zero, positive] = ['--negative', '--zero', '--positive'].map(colour);

  const canvas = item.card.querySelector('canvas');
  canvas.width = columns;
  canvas.height = Math.ceil(values.length / columns);
  const context = canvas.getContext('2d');
  const picture = context.createImageData(canvas.width, canvas.height);
  values.forEach((value, i) => {
    const end = value < 0 ? negative : positive;
    const share = Math.min(Math.abs(value) / item.scale, 1);
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = zero[c] + share * (end[c] - zero[c]);
    picture.data[4 * i + 3] = 255;
  });
  context.putImageData(picture, 0, 0);
}

// colour returns a custom property of the form #rrggbb as three numbers.
function colour(property) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(property).trim();
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// Cosines

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function showMatrix() {
  const done = items.filter((item) => item.result);
  const shown = done.slice(0, largestMatrix);
  $('similarity').hidden = shown.length < 2;
  if (shown.length < 2) return;
  $('similarity-note').textContent = done.length > shown.length
    ? `the first ${shown.length} of ${done.length} images`
    : 'the nearest image in each row is bold';

  const head = element('tr', element('td'), ...shown.map((item) => header('col', item, thumbnail(item))));
  head.firstChild.className = 'self';
  const rows = shown.map((a) => {
    const cosines = shown.map((b) => dot(a.result.embedding, b.result.embedding) / (a.result.norm * b.result.norm));
    const best = Math.max(...cosines.filter((_, j) => shown[j] !== a));
    const name = element('span', a.file.name || 'pasted image');
    return element('tr', header('row', a, element('span', thumbnail(a), name)), ...cosines.map((cosine, j) => {
      const cell = element('td', cosine.toFixed(3).replace('-', '−'));
      cell.title = `${a.file.name} and ${shown[j].file.name}`;
      cell.className = shown[j] === a ? 'self' : cosine === best ? 'best' : '';
      cell.style.setProperty('--hue', cosine < 0 ? 'var(--negative)' : 'var(--positive)');
      cell.style.setProperty('--share', Math.round(65 * Math.abs(cosine)) + '%'); // of more, text could not be read
      return cell;
    }));
  });
  $('matrix').replaceChildren(element('thead', head), element('tbody', ...rows));
}

function header(scope, item, content) {
  const th = element('th', content);
  th.scope = scope;
  th.title = item.file.name;
  return th;
}

function thumbnail(item) {
  const image = document.createElement('img');
  image.src = item.result.crop;
  image.alt = item.file.name;
  return image;
}

function element(name, ...children) {
  const e = document.createElement(name);
  e.append(...children);
  return e;
}

// Small things

function showStatus() {
  $('results').hidden = items.length === 0;
  const bad = items.filter((item) => item.fault).length;
  const waiting = queue.length + running;
  const parts = [`${items.length} ${items.length === 1 ? 'image' : 'images'}`];
  if (waiting > 0) parts.push(`${waiting} to go`);
  if (bad > 0) parts.push(`${bad} failed`);
  $('status').textContent = parts.join(', ');
}

const signed = (value) => (value < 0 ? '−' : '+') + Math.abs(value).toPrecision(4);

function milliseconds(ms) {
  return ms < 10 ? ms.toFixed(1) + ' ms' : ms < 10000 ? Math.round(ms) + ' ms' : (ms / 1000).toFixed(1) + ' s';
}

function bytes(n) {
  return n < 1000 ? n + ' B' : n < 1e6 ? Math.round(n / 1000) + ' kB' : (n / 1e6).toFixed(1) + ' MB';
}

// copy puts text on the clipboard. The clipboard's own interface is missing where
// the page does not come from this machine or over TLS.
async function copy(button, text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
  } else {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  const label = button.textContent;
  button.textContent = 'Copied';
  button.disabled = true;
  await pause(1200);
  button.textContent = label;
  button.disabled = false;
}

function showExamples() {
  const url = (key ? '-H "Authorization: Bearer $KEY" ' : '') + location.origin + '/api/embed';
  const examples = {
    'One image, JSON': `curl --data-binary @cat.jpg ${url}`,
    'Several images, one request': `curl -F a=@cat.jpg -F b=@dog.png -F normalize=true ${url}`,
    'A NumPy file': `curl -H 'Accept: application/x-npy' -F a=@cat.jpg -F b=@dog.png ${url} -o vectors.npy`,
    'JSON with base64': `echo '{"images":["'$(base64 -w0 cat.jpg)'"],"output":"projected"}' |\n  curl --json @- ${url}`,
    'Cosines': `curl -F a=@cat.jpg -F b=@dog.png ${url.replace('embed', 'similarity')}`,
  };
  $('examples').replaceChildren();
  for (const [title, text] of Object.entries(examples)) {
    const example = clone('example');
    example.querySelector('h3').textContent = title;
    example.querySelector('code').textContent = text;
    example.querySelector('button').addEventListener('click', (event) => copy(event.target, text));
    $('examples').append(example);
  }
}

// Events

$('files').addEventListener('change', (event) => {
  add(event.target.files);
  event.target.value = '';
});
document.addEventListener('paste', (event) => add(event.clipboardData.files));
for (const type of ['dragenter', 'dragover']) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    $('drop').classList.add('over');
  });
}
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) $('drop').classList.remove('over');
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop').classList.remove('over');
  add(event.dataTransfer.files);
});
$('clear').addEventListener('click', () => {
  items = [];
  queue = [];
  $('cards').replaceChildren();
  showMatrix();
  showStatus();
});
$('output').addEventListener('change', () => resubmit(items));
$('normalize').addEventListener('change', () => resubmit(items));
$('key').addEventListener('submit', async (event) => {
  event.preventDefault();
  key = $('key-text').value;
  sessionStorage.setItem('key', key);
  $('key').hidden = true;
  await start();
  if (api) resubmit(items.filter((item) => !item.result));
});
for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', () => copy(button, $(button.dataset.copy).textContent));
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  items.filter((item) => item.result).forEach(paint);
});

showExamples();
start();
