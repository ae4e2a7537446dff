'use strict';
/* Versions of a recording run at once, in step, each behind a gain: switching is a 10 ms crossfade. */

const FADE = 0.01;
const SOON = 0.02;
const SHORTEST_LOOP = 0.25;

class Player {
  constructor(context) {
    this.context = context;
    this.clear();
  }

  /* Forget all versions. */
  clear() {
    (this.tracks ?? []).forEach(({gain, source}) => { source?.stop(); gain.disconnect(); });
    Object.assign(this, {tracks: [], active: 0, playing: false, from: 0, to: 0, offset: 0, began: 0});
  }

  get duration() { return this.tracks.length ? this.tracks[0].buffer.duration : 0; }

  get position() { return this.playing ? this.positionAt(this.context.currentTime) : this.offset; }

  positionAt(time) {
    const elapsed = this.offset - this.from + Math.max(0, time - this.began);
    return this.from + (elapsed % (this.to - this.from));
  }

  /* Add a version, in step with those that run; the first is as long as the recording. Gives its number. */
  add(buffer) {
    const number = this.tracks.length;
    const gain = new GainNode(this.context, {gain: number === this.active ? 1 : 0});
    gain.connect(this.context.destination);
    const track = {buffer, gain, source: null};
    this.tracks.push(track);
    if (number === 0) this.to = buffer.duration;
    if (this.playing) {
      const when = this.context.currentTime + SOON;
      this.start(track, when, this.positionAt(when));
    }
    return number;
  }

  select(number) {
    this.active = number;
    this.tracks.forEach(({gain}, i) =>
      gain.gain.setTargetAtTime(i === number ? 1 : 0, this.context.currentTime, FADE / 3));
  }

  start(track, when, offset) {
    track.source = new AudioBufferSourceNode(this.context,
      {buffer: track.buffer, loop: true, loopStart: this.from, loopEnd: this.to});
    track.source.connect(track.gain);
    track.source.start(when, offset);
  }

  play() {
    if (this.playing || !this.tracks.length) return;
    this.context.resume();
    this.began = this.context.currentTime + SOON;
    this.tracks.forEach((track) => this.start(track, this.began, this.offset));
    this.playing = true;
  }

  pause() {
    if (!this.playing) return;
    this.offset = this.position;
    this.playing = false;
    this.tracks.forEach((track) => { track.source.stop(); track.source = null; });
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /* Do something that moves the place or the loop, without changing whether it plays. */
  whilePaused(change) {
    const wasPlaying = this.playing;
    this.pause();
    change();
    if (wasPlaying) this.play();
  }

  seek(time) {
    this.whilePaused(() => { this.offset = Math.max(this.from, Math.min(time, this.to - SOON)); });
  }

  loop(from, to) {
    from = Math.max(0, Math.min(from, this.duration - SHORTEST_LOOP));
    to = Math.min(this.duration, Math.max(to, from + SHORTEST_LOOP));
    this.whilePaused(() => { Object.assign(this, {from, to, offset: from}); });
  }
}

/* Whether a key is for the element that has the focus, not for the page. */
function keyOfElement(event) {
  return event.target.matches('select') || (' Enter'.includes(event.key) && event.target.closest('button, a') !== null);
}

/* After a press of a pointer the keys are the page's again. */
document.addEventListener('click', (event) => {
  if (event.detail) event.target.closest('button')?.blur();
});

/* The keys that all pages share; false if it was none of them. */
function playerKey(player, key) {
  if (key === ' ') player.toggle();
  else if (key === '[') player.loop(player.position, player.to);
  else if (key === ']') player.loop(player.from, player.position);
  else if (key === '\\') player.loop(0, player.duration);
  else return false;
  return true;
}

async function decoded(context, url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(await answer.text());
  return context.decodeAudioData(await answer.arrayBuffer());
}
