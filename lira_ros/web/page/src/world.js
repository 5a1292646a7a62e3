// The 3D view: the surface as it grows, what was found, the camera and its way. Draws only when something has changed.

import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { LineMaterial } from "three/addons/lines/LineMaterial.js";
import { LineSegments2 } from "three/addons/lines/LineSegments2.js";
import { LineSegmentsGeometry } from "three/addons/lines/LineSegmentsGeometry.js";
import { Line2 } from "three/addons/lines/Line2.js";
import { LineGeometry } from "three/addons/lines/LineGeometry.js";

// Colours are shown as the camera measured them, without conversion.
THREE.ColorManagement.enabled = false;

const MOST_LABELS = 14;
const FIT_MARGIN = 1.02;
const STEP = 0.12; // of a key that turns [rad]
const GRID_M = 1;
const FRUSTUM_M = 0.28;
const SETTLE_MS = 150;
// A picture of the screen takes 17 ms; for each millisecond that drawing takes longer the device rests for three.
const FRAME_MS = 20;
const DRAWING_REST = 3;
const SHORTEST_REST_MS = 60;
const LONGEST_REST_MS = 3000;

const matrixOf = (rows) => new THREE.Matrix4().set(...rows, 0, 0, 0, 1);
const colorOf = (name) => new THREE.Color(getComputedStyle(document.documentElement).getPropertyValue(name).trim());

function boxEdges(size) {
  const [x, y, z] = size.map((value) => value / 2);
  const corners = [];
  for (const [a, b] of [[-1, -1], [1, -1], [1, 1], [-1, 1]]) corners.push([a * x, b * y, -z], [a * x, b * y, z]);
  const edges = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [2, 4], [4, 6], [6, 0], [1, 3], [3, 5], [5, 7], [7, 1]];
  return edges.flatMap(([a, b]) => [...corners[a], ...corners[b]]);
}

export class World {
  constructor(canvas, labels, { select }) {
    this.canvas = canvas;
    this.labels = labels;
    this.select = select;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true, powerPreference: "low-power" });
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace;
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(45, 1, 0.05, 500);
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0xd8d4cc, 2.75));
    this.lamp = new THREE.DirectionalLight(0xffffff, 0.75);
    this.scene.add(this.lamp, this.lamp.target);
    this.surfaceGroup = new THREE.Group();
    this.thingsGroup = new THREE.Group();
    this.scene.add(this.surfaceGroup, this.thingsGroup);
    // Faces that show their back are left out: a room is looked into through its walls and its ceiling.
    this.surfaceMaterial = new THREE.MeshLambertMaterial({ vertexColors: true, side: THREE.FrontSide });
    this.regions = new Map();
    this.voxels = new Map();
    this.things = new Map();
    this.up = new THREE.Vector3(0, 0, 1);
    this.upIsTold = false;
    this.floor = null;
    this.untouched = true;
    this.following = false;
    this.rest = SHORTEST_REST_MS;
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#makeCamera();
    this.#makeControls();
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#repaint());
    this.#repaint();
    this.#resize();
  }

  // ---- what is shown ----

  /** Forget everything, before all of it is told again. */
  clear() {
    for (const name of [...this.regions.keys()]) this.removeRegion(name);
    for (const name of [...this.voxels.keys()]) this.removeVoxels(name);
    this.setThings([], null);
    this.way?.removeFromParent();
    this.way = undefined;
    this.cameraMark.visible = false;
  }

  setRegion({ name, origin, step, arrays: [positions, colors, indices] }) {
    this.removeRegion(name, true);
    const points = new Float32Array(positions.length);
    for (let i = 0; i < positions.length; i += 3) {
      points[i] = origin[0] + positions[i] * step[0];
      points[i + 1] = origin[1] + positions[i + 1] * step[1];
      points[i + 2] = origin[2] + positions[i + 2] * step[2];
    }
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(points, 3));
    geometry.setAttribute("color", new THREE.BufferAttribute(colors.slice(), 3, true));
    geometry.setIndex(new THREE.BufferAttribute(indices.slice(), 1));
    geometry.computeVertexNormals();
    geometry.computeBoundingSphere();
    geometry.computeBoundingBox();
    const mesh = new THREE.Mesh(geometry, this.surfaceMaterial);
    mesh.matrixAutoUpdate = false;
    this.regions.set(name, mesh);
    this.surfaceGroup.add(mesh);
    this.#boundsChanged();
  }

  removeRegion(name, quietly = false) {
    const mesh = this.regions.get(name);
    if (!mesh) return;
    this.regions.delete(name);
    mesh.removeFromParent();
    mesh.geometry.dispose();
    if (!quietly) this.#boundsChanged();
  }

  setVoxels({ name, origin, size_m: size, arrays: [steps] }) {
    const points = new Float32Array(steps.length);
    for (let i = 0; i < steps.length; i += 1) points[i] = origin[i % 3] + steps[i] * size;
    this.removeVoxels(name);
    this.voxels.set(name, { points, size });
    const thing = this.things.get(name);
    if (thing) this.#addCloud(thing, name);
    this.#drawSoon();
  }

  removeVoxels(name) {
    this.voxels.delete(name);
    const thing = this.things.get(name);
    if (thing?.cloud) {
      thing.cloud.removeFromParent();
      thing.cloud.geometry.dispose();
      thing.cloud.material.dispose();
      thing.cloud = undefined;
    }
    this.draw();
  }

  /** things: [{id, title, box, verdict}]; selected: an id or null. */
  setThings(things, selected) {
    const signature = JSON.stringify([things, selected]);
    if (signature === this.signature) return;
    this.signature = signature;
    const present = new Set(things.map((thing) => String(thing.id)));
    for (const [name, thing] of this.things) {
      if (!present.has(name)) {
        this.#removeThing(thing);
        this.things.delete(name);
      }
    }
    for (const item of things) {
      const name = String(item.id);
      const shape = JSON.stringify(item.box);
      let thing = this.things.get(name);
      if (!thing || thing.shape !== shape) {
        if (thing) this.#removeThing(thing);
        thing = this.#addThing(item, name, shape);
      }
      thing.verdict = item.verdict;
      thing.selected = item.id === selected;
      thing.label.textContent = item.title;
      thing.label.dataset.verdict = item.verdict;
      thing.label.dataset.selected = String(thing.selected);
    }
    this.#paintThings();
    this.draw();
  }

  setPose({ rows }) {
    this.cameraMark.visible = true;
    this.cameraMark.matrix.copy(matrixOf(rows));
    this.cameraMark.matrixWorldNeedsUpdate = true;
    if (this.following) {
      const place = new THREE.Vector3().setFromMatrixPosition(this.cameraMark.matrix);
      const ahead = new THREE.Vector3().setFromMatrixColumn(this.cameraMark.matrix, 2);
      this.#lookAt(place.addScaledVector(ahead, 1.2));
    }
    this.#drawSoon();
  }

  setWay({ arrays: [points] }) {
    this.way?.removeFromParent();
    this.way?.geometry.dispose();
    this.way = undefined;
    if (points.length >= 6) {
      this.way = new Line2(new LineGeometry().setPositions(points), this.wayMaterial);
      this.scene.add(this.way);
    }
    this.#drawSoon();
  }

  setUp({ up, floor_height_m: floor }) {
    const next = new THREE.Vector3(...up);
    if (!(next.lengthSq() > 0.5)) return;
    next.normalize();
    const turned = !this.upIsTold || next.angleTo(this.up) > 0.02;
    const moved = floor !== this.floor;
    this.floor = floor;
    if (turned) {
      this.up.copy(next);
      this.upIsTold = true;
      this.camera.up.copy(next);
      this.#makeControls();
      if (this.untouched) this.#placeCamera(0.85);
    }
    if (turned || moved) this.#makeGrid();
  }

  // ---- how it is looked at ----

  fit() {
    this.untouched = true;
    this.#setFollowing(false);
    this.#placeCamera(0.85);
  }

  top() {
    this.untouched = false;
    this.#setFollowing(false);
    this.#placeCamera(1.5);
  }

  toggleFollowing() {
    this.untouched = false;
    this.#setFollowing(!this.following);
    if (this.following && this.cameraMark.visible) {
      const place = new THREE.Vector3().setFromMatrixPosition(this.cameraMark.matrix);
      this.#lookAt(place, 3.5);
    }
    return this.following;
  }

  toggleSurface() {
    this.surfaceGroup.visible = !this.surfaceGroup.visible;
    this.draw();
    return this.surfaceGroup.visible;
  }

  /** Look at a thing, from where one looks now. */
  show(id) {
    const thing = this.things.get(String(id));
    if (!thing) return;
    this.untouched = false;
    this.#setFollowing(false);
    this.#lookAt(thing.center, Math.max(2, 5 * thing.radius));
  }

  statistics() {
    let triangles = 0;
    for (const mesh of this.regions.values()) triangles += mesh.geometry.index.count / 3;
    return { triangles, regions: this.regions.size };
  }

  /** Draw what a person has changed, with the next picture of the screen. */
  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.#render();
    });
  }

  // ---- inside ----

  /** Draw what the robot has changed: not more often than this device can draw and do other things. */
  #drawSoon() {
    if (this.soon || this.asked) return;
    this.soon = setTimeout(() => {
      this.soon = undefined;
      this.draw();
    }, this.rest);
  }

  #render() {
    const began = performance.now();
    const more = this.controls.update();
    const ahead = this.controls.target.clone().sub(this.camera.position);
    this.lamp.position.copy(this.camera.position).addScaledVector(this.up, 0.35 * ahead.length());
    this.lamp.target.position.copy(this.controls.target);
    this.renderer.render(this.scene, this.camera);
    this.#placeLabels();
    // The next picture comes when this one is on the screen.
    requestAnimationFrame(() => {
      const cost = performance.now() - began;
      this.rest = Math.min(LONGEST_REST_MS, Math.max(SHORTEST_REST_MS, DRAWING_REST * (cost - FRAME_MS)));
    });
    if (more) this.draw();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(2, window.devicePixelRatio || 1));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    if (this.untouched) this.#placeCamera(0.85);
    this.draw();
  }

  #makeControls() {
    const target = this.controls?.target.clone();
    this.controls?.dispose();
    // The controls read the direction of up once, when they are made.
    this.controls = new OrbitControls(this.camera, this.canvas);
    if (target) this.controls.target.copy(target);
    this.controls.enableDamping = !this.still;
    this.controls.dampingFactor = 0.12;
    this.controls.minDistance = 0.3;
    this.controls.maxDistance = 120;
    this.controls.zoomToCursor = true;
    this.controls.addEventListener("change", () => this.draw());
    this.controls.addEventListener("start", () => {
      this.untouched = false;
    });
  }

  #makeCamera() {
    const [w, h, d] = [FRUSTUM_M * 0.62, FRUSTUM_M * 0.46, FRUSTUM_M];
    const eye = [0, 0, 0];
    const corners = [[-w, -h, d], [w, -h, d], [w, h, d], [-w, h, d]];
    const lines = corners.flatMap((corner, i) => [...eye, ...corner, ...corner, ...corners[(i + 1) % 4]]);
    this.wayMaterial = new LineMaterial({ linewidth: 2.2, transparent: true, opacity: 0.85 });
    this.cameraMaterial = new LineMaterial({ linewidth: 2.6 });
    this.cameraFace = new THREE.MeshBasicMaterial({ transparent: true, opacity: 0.3, side: THREE.DoubleSide, depthWrite: false });
    this.cameraMark = new THREE.Group();
    this.cameraMark.matrixAutoUpdate = false;
    this.cameraMark.visible = false;
    const face = new THREE.BufferGeometry();
    face.setAttribute("position", new THREE.Float32BufferAttribute(corners.flat(), 3));
    face.setIndex([0, 1, 2, 0, 2, 3]);
    this.cameraMark.add(
      new LineSegments2(new LineSegmentsGeometry().setPositions(lines), this.cameraMaterial),
      new THREE.Mesh(face, this.cameraFace),
    );
    this.scene.add(this.cameraMark);
  }

  #makeGrid() {
    this.grid?.removeFromParent();
    this.grid?.geometry.dispose();
    this.grid = undefined;
    const bounds = this.#bounds();
    if (bounds.isEmpty() || !this.upIsTold) return;
    const sphere = bounds.getBoundingSphere(new THREE.Sphere());
    const cells = 2 * Math.ceil(sphere.radius / GRID_M) + 2;
    this.grid = new THREE.GridHelper(cells * GRID_M, cells);
    this.grid.material.dispose();
    this.grid.material = this.gridMaterial;
    this.grid.quaternion.setFromUnitVectors(new THREE.Vector3(0, 1, 0), this.up);
    const center = sphere.center.clone();
    const height = this.floor ?? Math.min(...this.#corners(bounds).map((corner) => corner.dot(this.up)));
    this.grid.position.copy(center).addScaledVector(this.up, height - 0.02 - center.dot(this.up));
    this.scene.add(this.grid);
    this.draw();
  }

  #corners(box) {
    const { min, max } = box;
    return [min.x, max.x].flatMap((x) => [min.y, max.y].flatMap((y) => [min.z, max.z].map((z) => new THREE.Vector3(x, y, z))));
  }

  #bounds() {
    const bounds = new THREE.Box3();
    for (const mesh of this.regions.values()) bounds.union(mesh.geometry.boundingBox);
    return bounds;
  }

  #boundsChanged() {
    this.#drawSoon();
    if (this.settling) return;
    this.settling = setTimeout(() => {
      this.settling = undefined;
      // Another map begins: what was looked at is gone.
      if (!this.regions.size) this.untouched = true;
      this.#makeGrid();
      if (this.untouched) this.#placeCamera(0.85);
    }, SETTLE_MS);
  }

  /** Show all of the map from an elevation [rad] above its horizontal. */
  #placeCamera(elevation) {
    const bounds = this.#bounds();
    if (bounds.isEmpty()) {
      bounds.setFromCenterAndSize(new THREE.Vector3(), new THREE.Vector3(4, 4, 4));
    }
    if (this.cameraMark.visible) bounds.expandByPoint(new THREE.Vector3().setFromMatrixPosition(this.cameraMark.matrix));
    const center = bounds.getCenter(new THREE.Vector3());
    let side = this.camera.position.clone().sub(this.controls.target);
    side.addScaledVector(this.up, -side.dot(this.up));
    if (!this.placed || side.lengthSq() < 1e-6) {
      side = new THREE.Vector3(0.6, -0.8, 0.35);
      side.addScaledVector(this.up, -side.dot(this.up));
    }
    this.placed = true;
    side.normalize();
    const away = side.multiplyScalar(Math.cos(elevation)).addScaledVector(this.up, Math.sin(elevation));
    // So far away that every corner of the map is within the picture.
    const forward = away.clone().negate();
    const right = new THREE.Vector3().crossVectors(forward, this.up).normalize();
    const over = new THREE.Vector3().crossVectors(right, forward);
    const tangent = Math.tan(THREE.MathUtils.degToRad(this.camera.fov) / 2);
    let distance = 1;
    for (const corner of this.#corners(bounds)) {
      const from = corner.sub(center);
      const near = -from.dot(forward);
      distance = Math.max(
        distance,
        near + Math.abs(from.dot(over)) / tangent,
        near + Math.abs(from.dot(right)) / (tangent * this.camera.aspect),
      );
    }
    this.controls.target.copy(center);
    this.camera.position.copy(center).addScaledVector(away, FIT_MARGIN * distance);
    this.draw();
  }

  #lookAt(point, distance = null) {
    const away = this.camera.position.clone().sub(this.controls.target);
    if (distance !== null) away.setLength(Math.min(Math.max(distance, 1), Math.max(away.length(), 1)));
    this.controls.target.copy(point);
    this.camera.position.copy(point).add(away);
    this.draw();
  }

  #setFollowing(on) {
    this.following = on;
    this.onFollowing?.(on);
  }

  #addThing(item, name, shape) {
    const matrix = matrixOf(item.box.rows);
    const group = new THREE.Group();
    group.matrixAutoUpdate = false;
    group.matrix.copy(matrix);
    const size = item.box.size_m.map((value) => Math.max(0.01, value));
    const solid = new THREE.Mesh(
      new THREE.BoxGeometry(...size),
      new THREE.MeshBasicMaterial({ transparent: true, depthWrite: false }),
    );
    solid.userData.id = item.id;
    const edges = new LineSegments2(
      new LineSegmentsGeometry().setPositions(boxEdges(size)),
      new LineMaterial({ linewidth: 2.2, transparent: true }),
    );
    group.add(solid, edges);
    this.thingsGroup.add(group);
    const label = document.createElement("span");
    label.className = "label";
    this.labels.append(label);
    const rotation = new THREE.Matrix3().setFromMatrix4(matrix);
    const axis = new THREE.Vector3(0, 0, 1).applyMatrix3(rotation);
    const center = new THREE.Vector3().setFromMatrixPosition(matrix);
    const thing = {
      verdict: item.verdict,
      shape,
      group,
      solid,
      edges,
      label,
      center,
      top: center.clone().addScaledVector(axis, size[2] / 2),
      radius: Math.hypot(...size) / 2,
    };
    this.things.set(name, thing);
    if (this.voxels.has(name)) this.#addCloud(thing, name);
    return thing;
  }

  #addCloud(thing, name) {
    const { points, size } = this.voxels.get(name);
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(points, 3));
    const material = new THREE.PointsMaterial({ size: 1.25 * size, transparent: true, opacity: 0.55, depthWrite: false });
    thing.cloud = new THREE.Points(geometry, material);
    this.thingsGroup.add(thing.cloud);
    this.#paintThings();
  }

  #removeThing(thing) {
    thing.label.remove();
    for (const object of [thing.group, thing.cloud]) {
      object?.removeFromParent();
      object?.traverse((part) => {
        part.geometry?.dispose();
        part.material?.dispose();
      });
    }
  }

  #paintThings() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    for (const thing of this.things.values()) {
      const color = this.colors[thing.verdict];
      const faint = thing.verdict === "rejected";
      thing.solid.material.color.copy(color);
      thing.solid.material.opacity = thing.selected ? 0.18 : faint ? 0.02 : 0.1;
      thing.edges.material.color.copy(color);
      thing.edges.material.linewidth = thing.selected ? 4 : faint ? 1.2 : 2.4;
      thing.edges.material.opacity = faint && !thing.selected ? 0.6 : 1;
      if (thing.cloud) {
        thing.cloud.material.color.copy(color);
        thing.cloud.material.opacity = thing.selected ? 0.8 : dark ? 0.5 : 0.45;
      }
    }
  }

  #repaint() {
    this.colors = {
      conforms: colorOf("--conforms"),
      undecided: colorOf("--undecided"),
      rejected: colorOf("--rejected"),
    };
    this.wayMaterial.color.copy(colorOf("--way"));
    this.cameraMaterial.color.copy(colorOf("--way"));
    this.cameraFace.color.copy(colorOf("--way"));
    this.gridMaterial ??= new THREE.LineBasicMaterial({ transparent: true, opacity: 0.55 });
    this.gridMaterial.color.copy(colorOf("--grid"));
    this.#paintThings();
    this.#makeGrid();
    this.draw();
  }

  #placeLabels() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const wanted = [...this.things.values()].filter((thing) => thing.selected || thing.verdict === "conforms");
    wanted.sort((a, b) => Number(b.selected) - Number(a.selected));
    const shown = new Set(wanted.slice(0, MOST_LABELS));
    for (const thing of this.things.values()) {
      const place = thing.top.clone().project(this.camera);
      const visible = shown.has(thing) && place.z < 1 && Math.abs(place.x) < 1.05 && Math.abs(place.y) < 1.05;
      thing.label.hidden = !visible;
      if (visible) {
        const [x, y] = [((place.x + 1) / 2) * width, ((1 - place.y) / 2) * height];
        thing.label.style.transform = `translate(${Math.round(x)}px, ${Math.round(y) - 8}px) translate(-50%, -100%)`;
        thing.label.style.zIndex = String(Math.round(1000 * (1 - place.z)));
      }
    }
  }

  #listen() {
    let pressed = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      pressed = event.isPrimary ? [event.clientX, event.clientY] : null;
    });
    this.canvas.addEventListener("pointerup", (event) => {
      if (pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 6) this.#pick(event);
      pressed = null;
    });
    this.canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const actions = {
        ArrowLeft: () => this.#turn(-STEP, 0),
        ArrowRight: () => this.#turn(STEP, 0),
        ArrowUp: () => this.#turn(0, STEP),
        ArrowDown: () => this.#turn(0, -STEP),
        "+": () => this.#zoom(0.87),
        "=": () => this.#zoom(0.87),
        "-": () => this.#zoom(1.15),
        f: () => this.fit(),
        t: () => this.top(),
        c: () => this.toggleFollowing(),
        Escape: () => this.select(null),
      };
      const action = actions[event.key];
      if (action) {
        event.preventDefault();
        action();
      }
    });
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => this.draw());
  }

  #turn(around, over) {
    this.untouched = false;
    const away = this.camera.position.clone().sub(this.controls.target);
    const elevation = Math.asin(THREE.MathUtils.clamp(away.clone().normalize().dot(this.up), -1, 1));
    const right = new THREE.Vector3().crossVectors(this.up, away).normalize();
    const change = THREE.MathUtils.clamp(elevation + over, -1.5, 1.5) - elevation;
    away.applyAxisAngle(right, -change).applyAxisAngle(this.up, around);
    this.camera.position.copy(this.controls.target).add(away);
    this.draw();
  }

  #zoom(factor) {
    this.untouched = false;
    const away = this.camera.position.clone().sub(this.controls.target).multiplyScalar(factor);
    this.camera.position.copy(this.controls.target).add(away);
    this.draw();
  }

  #pick(event) {
    const box = this.canvas.getBoundingClientRect();
    const point = new THREE.Vector2(
      ((event.clientX - box.left) / box.width) * 2 - 1,
      1 - ((event.clientY - box.top) / box.height) * 2,
    );
    const ray = new THREE.Raycaster();
    ray.setFromCamera(point, this.camera);
    const solids = [...this.things.values()].map((thing) => thing.solid);
    const hits = ray.intersectObjects(solids, false);
    // Of boxes behind one another the one whose middle is nearest to the finger: a cup on a table, not the table.
    const best = hits
      .map((hit) => {
        const thing = this.things.get(String(hit.object.userData.id));
        return { id: hit.object.userData.id, off: ray.ray.distanceToPoint(thing.center) / thing.radius + thing.radius };
      })
      .sort((a, b) => a.off - b.off)[0];
    this.select(best ? best.id : null);
  }
}
