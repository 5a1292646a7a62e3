"""The table of known classes: names, kinds, uses and what such things measure in homes and offices.

One line a class, fields separated by "|":
names (the first is the class, the others are synonyms) | kinds (more general words) | length, width, height,
top above the floor [m] as low-high | what it stands on (floor, surface, wall) | shape hints | how common it is
| affordances | colours that most of them have | one-line use.
Shape hints: level = has a large level face, upright = has a large upright face, round = round from above, bumpy =
no large plane, compact = not much longer than wide. "-" = nothing is known. Ranges are those of furniture and household
catalogues and of our own measuring; they are meant wide, and views may miss the lower part of furniture, so heights
begin low.
"""

TABLE = """
chair, dining chair, office chair, desk chair, swivel chair, kitchen chair, folding chair, folded chair | furniture, seat | 0.4-0.8 | 0.35-0.7 | 0.4-1.25 | 0.7-1.25 | floor | bumpy | 5 | sit | - | a seat for one person with a back to lean on
chair seat | furniture, seat, chair | 0.35-0.55 | 0.32-0.55 | 0.01-0.15 | 0.4-0.54 | floor | level | 4 | sit | - | the seat of a chair, which is what a camera above it sees
armchair, easy chair, lounge chair, recliner, sofa chair, single seater | furniture, seat, chair | 0.65-1.1 | 0.6-1.0 | 0.5-1.15 | 0.7-1.15 | floor | bumpy | 1.5 | sit, soft, relax | - | a wide soft chair with arms to relax in alone
sofa, couch, settee, loveseat, futon, three seater | furniture, seat | 1.3-3.2 | 0.6-1.8 | 0.3-1.1 | 0.6-1.1 | floor | bumpy | 2.5 | sit, sit_several, lie, soft, relax | - | a long soft seat on which several people sit together or one can lie down
stool, bar stool, step stool | furniture, seat | 0.25-0.5 | 0.25-0.5 | 0.3-0.85 | 0.3-0.9 | floor | level, round | 1.5 | sit, step | - | a simple seat without a back
ottoman, footstool, pouf, poof, footrest, bean bag, hassock | furniture, seat | 0.4-1.1 | 0.4-0.8 | 0.25-0.55 | 0.25-0.6 | floor | level | 0.8 | sit, soft, feet | - | a low cushioned seat to rest the feet on
bench, garden bench, piano bench | furniture, seat | 0.8-2.4 | 0.25-0.6 | 0.3-0.95 | 0.38-0.95 | floor | level | 0.8 | sit, sit_several | brown, gray, beige | a long hard seat for several people
bed, double bed, single bed, bunk bed, cot, bunk | furniture | 1.8-2.4 | 0.8-2.2 | 0.25-1.3 | 0.4-1.4 | floor | level | 1.5 | lie, sleep, sit, soft | - | a large piece of furniture with a mattress to sleep in at night
crib, baby bed, cradle | furniture | 0.9-1.5 | 0.5-0.8 | 0.5-1.2 | 0.7-1.2 | floor | bumpy | 0.3 | sleep | white, brown | a small bed with bars in which a baby sleeps
table, dining table, kitchen table, conference table, meeting table, work table, dinner table | furniture, surface | 0.7-3.6 | 0.6-1.6 | 0.01-0.85 | 0.66-0.86 | floor | level, compact | 4 | put, eat_at, work_at, gather | - | a flat top on legs around which people eat, talk and work
coffee table, side table, end table, low table, occasional table | furniture, table, surface | 0.35-1.5 | 0.3-0.9 | 0.01-0.6 | 0.28-0.62 | floor | level, compact | 1.5 | put | - | a low table beside a seat for drinks, books and small things
desk, office desk, writing desk, computer desk, workstation, standing desk | furniture, table, surface | 0.9-2.2 | 0.5-0.95 | 0.01-1.2 | 0.66-1.2 | floor | level, compact | 2.5 | put, write_at, work_at | - | a table for writing, studying and computer work, often with drawers
foosball table, table football, table soccer, football table, game table, gaming table, kicker table | furniture, table, toy, game | 1.1-1.7 | 0.6-1.1 | 0.1-1.0 | 0.8-1.05 | floor | bumpy | 0.15 | play | - | a table game with small players on rods that kick a ball
pool table, billiard table, snooker table | furniture, table, toy, game | 1.9-3.0 | 1.0-1.7 | 0.05-0.95 | 0.75-0.95 | floor | level | 0.1 | play | green, blue | a cloth covered game table on which balls are struck with a cue
ping-pong table, table tennis table | furniture, table, toy, game | 2.4-2.9 | 1.3-1.7 | 0.01-0.95 | 0.7-0.95 | floor | level | 0.1 | play | green, blue | a large table with a net to play table tennis
nightstand, bedside table, night table | furniture, table, cabinet | 0.3-0.65 | 0.28-0.6 | 0.3-0.75 | 0.4-0.8 | floor | level | 1 | put, store | brown, white | a small cabinet beside a bed for a lamp or a book
kitchen counter, counter, countertop, worktop, counter top, kitchen island, island, bar counter | furniture, surface | 0.8-4.5 | 0.4-1.3 | 0.01-1.15 | 0.84-1.15 | floor | level | 1.5 | put, cook_at, cut_at | - | a long flat surface in a kitchen on which food is prepared
workbench, work bench | furniture, surface, table | 1.0-2.5 | 0.5-1.0 | 0.01-1.0 | 0.75-1.0 | floor | level, compact | 0.3 | put, work_at, repair | brown, gray | a sturdy table for building and repairing things
cabinet, cupboard, sideboard, credenza, storage cabinet, kitchen cabinet, filing cabinet, file cabinet, closet, locker, storage unit | furniture, storage | 0.4-2.6 | 0.3-0.75 | 0.4-2.3 | 0.5-2.4 | floor | upright | 2.5 | store, put | white, brown, gray, beige | furniture with doors in which clothes, dishes and other things are kept
wardrobe, armoire | furniture, storage, cabinet | 0.8-3.0 | 0.45-0.75 | 1.4-2.5 | 1.6-2.5 | floor | upright | 1 | store, clothes | white, brown | a tall cupboard in which clothes hang
dresser, chest of drawers, drawer unit, drawers, commode | furniture, storage, cabinet | 0.6-1.8 | 0.35-0.6 | 0.5-1.3 | 0.6-1.35 | floor | upright | 1 | store, put, clothes | white, brown | furniture with drawers for folded clothes
bookshelf, bookcase, book shelf, shelf, shelves, shelving, shelving unit, storage shelf, rack | furniture, storage | 0.4-2.4 | 0.15-0.6 | 0.5-2.4 | 0.6-2.4 | floor | upright | 2 | store, books, put | - | furniture with open boards on which books are kept and shown
coat rack, clothes rack, clothing rack, hat stand, hall tree, coat stand | furniture, storage | 0.3-1.6 | 0.25-0.7 | 1.2-2.1 | 1.4-2.1 | floor | bumpy | 0.4 | hang, clothes | - | a stand on which coats and hats are hung
shoe rack, shoe cabinet | furniture, storage | 0.5-1.2 | 0.2-0.45 | 0.2-1.2 | 0.2-1.3 | floor | bumpy | 0.3 | store, shoes | - | a low rack in which shoes are kept
tv stand, television stand, media console, tv bench, television bench, tv unit, tv console | furniture, storage | 0.9-2.2 | 0.3-0.55 | 0.3-0.7 | 0.35-0.75 | floor | level | 0.6 | put, store | brown, black, white | low furniture that carries the television
refrigerator, fridge, freezer, mini fridge, ice box | appliance | 0.45-1.0 | 0.45-0.85 | 0.5-2.0 | 0.8-2.1 | floor | upright | 1.2 | cool, store, food_store | white, silver, gray, black | an electric appliance that keeps food and drinks cold and fresh
oven, stove, range, cooker, stovetop, hob | appliance | 0.45-0.95 | 0.45-0.75 | 0.05-1.0 | 0.8-1.1 | floor | level | 0.9 | cook, heat_food | white, silver, black, gray | an appliance on and in which food is cooked and baked
microwave, microwave oven | appliance | 0.4-0.62 | 0.3-0.5 | 0.22-0.38 | 0.5-1.9 | surface | level | 0.8 | heat_food, cook | white, silver, black | a small oven that warms up food quickly
dishwasher, dish washer | appliance | 0.45-0.65 | 0.45-0.65 | 0.75-0.95 | 0.78-0.98 | floor | upright | 0.4 | wash_dishes | white, silver, gray | a machine that washes dirty dishes
washing machine, washer, laundry machine | appliance | 0.55-0.75 | 0.45-0.75 | 0.75-1.15 | 0.8-1.2 | floor | upright | 0.5 | wash_clothes | white, gray | a machine that washes dirty clothes
dryer, clothes dryer, tumble dryer | appliance | 0.55-0.75 | 0.5-0.75 | 0.75-1.1 | 0.8-2.0 | floor | upright | 0.4 | dry_clothes | white, gray | a machine that dries wet clothes
kettle, electric kettle, teakettle | appliance, kitchenware, container | 0.14-0.28 | 0.12-0.22 | 0.16-0.3 | 0.9-1.4 | surface | round | 0.7 | boil, pour | silver, white, black | a vessel in which water is boiled for tea
teapot | kitchenware, container | 0.15-0.28 | 0.1-0.2 | 0.1-0.22 | 0.8-1.3 | surface | round | 0.4 | pour | white, silver, blue | a pot with a spout from which tea is poured
coffee machine, coffee maker, espresso machine, coffeemaker | appliance, kitchenware | 0.18-0.5 | 0.15-0.4 | 0.25-0.5 | 0.9-1.6 | surface | bumpy | 0.7 | make_coffee | black, silver | a machine that makes coffee
toaster | appliance, kitchenware | 0.24-0.42 | 0.14-0.3 | 0.16-0.26 | 0.9-1.3 | surface | bumpy | 0.5 | toast | silver, black, white | a device that browns slices of bread
blender, mixer, food processor | appliance, kitchenware | 0.15-0.35 | 0.13-0.28 | 0.28-0.48 | 1.0-1.5 | surface | bumpy | 0.3 | mix | - | a machine that mixes and crushes food and drinks
sink, washbasin, kitchen sink, basin, wash basin, bathroom sink | fixture | 0.3-1.0 | 0.28-0.65 | 0.03-1.0 | 0.75-1.1 | surface | bumpy | 1.3 | wash, wash_hands, water | white, silver, gray | a basin with a tap in which hands and dishes are washed
faucet, tap, water tap | fixture | 0.1-0.3 | 0.03-0.2 | 0.1-0.45 | 0.9-1.4 | surface | bumpy | 0.4 | water | silver, gray | a valve from which water flows
toilet, lavatory, wc, toilet bowl | fixture, seat | 0.45-0.8 | 0.32-0.5 | 0.35-0.95 | 0.38-1.0 | floor | bumpy | 1 | toilet | white | a bowl with a seat in a bathroom for human waste
urinal | fixture | 0.3-0.5 | 0.25-0.45 | 0.5-0.9 | 0.9-1.3 | wall | bumpy | 0.1 | toilet | white | a bowl on the wall for urinating
bathtub, bath, tub, bath tub | fixture, container | 1.3-1.95 | 0.65-1.1 | 0.3-0.7 | 0.4-0.75 | floor | bumpy | 0.4 | bathe, wash_body | white | a large tub filled with water in which the body is washed
shower, shower cabin, shower stall | fixture | 0.7-1.6 | 0.6-1.2 | 1.4-2.4 | 1.8-2.4 | floor | upright | 0.5 | wash_body | - | a place where water sprays down to wash the body
shower curtain | textile, curtain | 0.5-2.0 | 0.02-0.3 | 1.3-2.2 | 1.7-2.3 | - | upright | 0.4 | splash, privacy | - | a waterproof curtain that keeps water inside while bathing
curtain, drapes, drape, blind, blinds, window shade, window blind | textile | 0.3-4.0 | 0.02-0.35 | 0.8-2.9 | 1.7-3.0 | wall | upright | 1.5 | block_light, privacy | - | cloth hung before a window to keep light out and for privacy
window, window pane | structure, opening | 0.4-4.0 | 0.01-0.3 | 0.4-2.6 | 1.4-2.9 | wall | upright | 1.5 | look_out, air, daylight | - | an opening in the wall with glass that lets light and air in
door, doorway, glass door, entrance | structure, opening, barrier | 0.6-2.0 | 0.01-0.25 | 1.6-2.5 | 1.85-2.5 | floor | upright | 2 | leave, enter | brown, white, gray | a movable panel through which people enter and leave a room
door handle, doorknob, door knob, handle | part | 0.05-0.25 | 0.03-0.12 | 0.03-0.25 | 0.85-1.2 | wall | bumpy | 0.2 | open | silver, gold | a grip with which a door is opened
wall | structure | 1.0-12.0 | 0.01-0.4 | 1.2-3.5 | 1.9-3.5 | floor | upright | 0.3 | hang_on | white, beige, gray | an upright side of a room
floor, ground | structure | 1.5-15.0 | 1.0-12.0 | 0.0-0.1 | -0.1-0.1 | - | level | 0.2 | walk_on | - | the level bottom of a room on which people walk
ceiling | structure | 2.0-15.0 | 1.0-12.0 | 0.0-0.3 | 2.1-3.6 | - | level | 0.1 | - | white | the upper side of a room
stairs, staircase, stairway, steps | structure | 1.0-5.0 | 0.6-2.0 | 0.3-3.5 | 0.4-3.5 | floor | bumpy | 0.2 | climb | - | steps by which people go to another floor
radiator, heater, space heater | appliance, fixture | 0.4-2.2 | 0.05-0.3 | 0.3-1.2 | 0.45-1.4 | wall | upright | 1 | warm | white | a device that warms a cold room
fireplace, hearth | fixture | 0.7-2.2 | 0.2-0.8 | 0.6-1.6 | 0.7-1.7 | floor | upright | 0.2 | warm | - | a place in the wall where a fire burns to warm the room
fan, ventilator, table fan, ceiling fan, standing fan | appliance, electronics | 0.2-1.3 | 0.15-1.3 | 0.2-1.5 | 0.4-2.8 | - | bumpy | 0.3 | cool_air, air | white, black | a device that moves air to cool people
air conditioner, air conditioning | appliance | 0.6-1.2 | 0.18-0.5 | 0.2-0.8 | 1.0-2.7 | wall | bumpy | 0.3 | cool_air, air | white | a device that cools the air of a room
lamp, table lamp, desk lamp, light, bedside lamp, reading lamp | lighting, electronics | 0.12-0.5 | 0.12-0.5 | 0.2-0.8 | 0.7-1.9 | surface | round | 1.2 | light | - | a light that makes a dark room bright for reading
floor lamp, standing lamp, torchiere | lighting, lamp, electronics | 0.2-0.9 | 0.2-0.6 | 1.1-2.1 | 1.2-2.1 | floor | bumpy | 0.8 | light | - | a tall light on a pole that brightens a room
ceiling lamp, pendant lamp, chandelier, ceiling light, hanging lamp | lighting, lamp | 0.15-1.4 | 0.1-1.2 | 0.05-1.0 | 1.7-3.2 | - | round | 0.5 | light | - | a light that hangs from the ceiling
light switch, switch | fixture | 0.06-0.2 | 0.01-0.06 | 0.06-0.2 | 0.9-1.5 | wall | upright | 0.2 | light | white | a button on the wall that turns the light on
outlet, socket, power outlet, power socket, plug | fixture | 0.06-0.25 | 0.01-0.08 | 0.05-0.15 | 0.2-1.3 | wall | upright | 0.2 | charge | white | a place in the wall that gives electric power
candle | lighting, decoration | 0.04-0.15 | 0.04-0.15 | 0.05-0.3 | 0.4-1.6 | surface | round | 0.3 | light, decorate | white, red | a stick of wax that gives light when it burns
television, tv, tv set, flat screen | electronics, screen | 0.6-1.9 | 0.03-0.35 | 0.35-1.15 | 0.8-2.1 | surface | upright | 1 | watch | black | a large screen on which films and news are watched
monitor, computer monitor, computer screen, screen, display | electronics, screen | 0.35-0.95 | 0.04-0.3 | 0.25-0.6 | 0.95-1.5 | surface | upright | 1.5 | watch, work_with | black, gray | a screen on which a computer shows its work
laptop, notebook computer, computer, macbook | electronics | 0.28-0.42 | 0.2-0.4 | 0.015-0.3 | 0.68-1.2 | surface | bumpy | 1.3 | work_with, type, internet, watch | black, silver, gray | a portable computer to work and write with
desktop computer, pc, computer tower, tower | electronics, computer | 0.35-0.6 | 0.15-0.28 | 0.3-0.55 | 0.3-1.3 | - | upright | 0.6 | work_with | black | the box of a computer
keyboard, computer keyboard | electronics | 0.27-0.52 | 0.1-0.24 | 0.01-0.06 | 0.66-1.15 | surface | level | 1 | type | black, white, gray | a board with keys for typing
mouse, computer mouse | electronics | 0.09-0.14 | 0.05-0.09 | 0.02-0.05 | 0.68-1.15 | surface | bumpy | 0.5 | work_with | black, gray, white | a small device that moves the pointer of a computer
printer, copier, copy machine, scanner | electronics, appliance, machine | 0.33-0.75 | 0.28-0.7 | 0.14-1.2 | 0.7-1.4 | surface | bumpy | 0.8 | print | white, black, gray | a machine that puts ink on paper
projector | electronics | 0.2-0.45 | 0.18-0.4 | 0.07-0.18 | 0.7-2.8 | surface | level | 0.3 | watch | white, black | a device that throws pictures on a wall
phone, telephone, mobile phone, smartphone, cell phone, handset | electronics | 0.12-0.25 | 0.06-0.22 | 0.008-0.12 | 0.4-1.2 | surface | level | 0.8 | talk, call | black | a device for calling people
tablet, ipad, e-reader | electronics | 0.18-0.32 | 0.12-0.25 | 0.006-0.05 | 0.4-1.2 | surface | level | 0.4 | watch, read, internet | black, silver | a flat touch screen for reading and watching
speaker, loudspeaker, radio, stereo, sound system | electronics | 0.1-0.45 | 0.08-0.4 | 0.1-1.1 | 0.3-1.6 | - | upright | 0.7 | listen | black, gray | a device from which music and sound come
headphones, headset, earphones | electronics | 0.14-0.24 | 0.06-0.22 | 0.03-0.22 | 0.5-1.3 | surface | bumpy | 0.3 | listen | black, white | worn on the ears to hear music alone
camera, webcam | electronics | 0.06-0.2 | 0.04-0.15 | 0.04-0.15 | 0.5-2.5 | surface | bumpy | 0.3 | photograph | black | a device that takes pictures
remote control, remote, controller | electronics | 0.1-0.25 | 0.03-0.08 | 0.01-0.04 | 0.3-1.1 | surface | bumpy | 0.5 | control | black, gray | a small device that switches the television from afar
clock, alarm clock, wall clock, watch | electronics, decoration | 0.06-0.5 | 0.02-0.15 | 0.06-0.5 | 0.6-2.5 | wall | upright, round | 0.6 | time | - | shows what time it is
picture, painting, poster, photo, artwork, picture frame, photograph, print | decoration | 0.15-2.0 | 0.005-0.12 | 0.15-1.6 | 0.8-2.6 | wall | upright | 2 | decorate | - | an image in a frame that decorates a wall
mirror | decoration | 0.2-1.6 | 0.005-0.12 | 0.3-2.1 | 1.0-2.3 | wall | upright | 0.8 | look_at_self | - | a glass in which people see themselves
whiteboard, blackboard, chalkboard, white board, board, bulletin board, pin board, notice board | office | 0.6-4.0 | 0.01-0.3 | 0.5-1.9 | 1.4-2.3 | wall | upright | 0.8 | write_on, show | white, black, green | a board on which ideas are written for a group
calendar | decoration, office | 0.15-0.6 | 0.005-0.1 | 0.15-0.7 | 0.8-2.1 | wall | upright | 0.2 | time | - | shows days and dates
rug, carpet, mat, door mat, doormat, bath mat | textile | 0.5-4.5 | 0.35-3.5 | 0.0-0.06 | 0.0-0.07 | floor | level | 1 | soft, decorate | - | a thick cloth on the floor
pillow, cushion, throw pillow | textile, bedding | 0.3-0.85 | 0.25-0.6 | 0.08-0.5 | 0.4-1.3 | surface | bumpy | 1.5 | soft, head | - | a soft bag on which the head rests
blanket, quilt, duvet, comforter, bedspread | textile, bedding | 0.4-2.4 | 0.3-2.2 | 0.02-0.5 | 0.3-1.0 | surface | bumpy | 0.8 | warm, cover, soft | - | a warm cover for a person who is cold or sleeps
towel, hand towel, bath towel, dishcloth, tea towel, cloth, rag | textile | 0.2-1.2 | 0.02-0.7 | 0.02-1.2 | 0.5-1.9 | - | bumpy | 0.8 | dry, wipe | - | cloth with which wet hands and spills are dried
mattress, air mattress | textile, bedding | 1.7-2.2 | 0.7-2.1 | 0.1-0.4 | 0.1-0.8 | floor | level | 0.3 | lie, sleep, soft | white | a thick soft pad to sleep on
jacket, coat, sweater, hoodie, clothes, shirt, clothing, clothing item, trousers, dress | clothing, textile | 0.25-1.0 | 0.08-0.7 | 0.05-1.3 | 0.3-2.0 | - | bumpy | 1 | wear | - | worn on the body to keep warm
shoe, shoes, sneaker, boot, boots, slipper, slippers, sandal | clothing | 0.22-0.45 | 0.08-0.35 | 0.06-0.4 | 0.06-0.5 | floor | bumpy | 0.8 | wear | - | worn on the feet for walking
hat, cap, helmet | clothing | 0.18-0.4 | 0.16-0.38 | 0.08-0.3 | 0.3-2.0 | - | round | 0.4 | wear | - | worn on the head
umbrella, parasol | accessory | 0.25-1.2 | 0.05-1.2 | 0.05-1.0 | 0.3-1.6 | - | bumpy | 0.2 | rain | black | keeps a person dry in the rain
backpack, rucksack, school bag, knapsack | bag, container, luggage | 0.25-0.6 | 0.15-0.45 | 0.2-0.6 | 0.2-1.4 | - | bumpy | 1.2 | carry | black, gray, blue, red | a bag carried on the back with books or things for a trip
bag, handbag, purse, tote bag, shopping bag, plastic bag, paper bag, duffel bag, messenger bag, grocery bag | container, accessory | 0.15-0.7 | 0.06-0.45 | 0.12-0.6 | 0.12-1.4 | - | bumpy | 1.2 | carry | - | a soft container in which things are carried
suitcase, luggage, trolley, travel bag, briefcase | bag, container, luggage | 0.35-0.85 | 0.15-0.4 | 0.25-0.85 | 0.25-1.0 | floor | upright | 0.6 | carry, travel | black, blue, gray | a hard case with wheels for clothes on a journey
box, cardboard box, carton, package, parcel, storage box, tissue box, shoe box | container | 0.12-0.9 | 0.1-0.7 | 0.06-0.7 | 0.06-1.8 | - | level | 2 | store, contain | brown, beige, white | a container with flat sides in which things are kept or sent
crate, plastic crate, bottle crate, milk crate, storage bin, tote | container | 0.3-0.7 | 0.22-0.5 | 0.12-0.45 | 0.12-1.3 | - | bumpy | 0.6 | carry, store, contain | red, blue, green, black, gray | an open box in which bottles or goods are carried
basket, laundry basket, hamper, clothes basket, wicker basket | container | 0.2-0.7 | 0.18-0.55 | 0.08-0.7 | 0.1-1.3 | - | bumpy | 0.7 | contain, store, carry | brown, beige, white, black | an open woven container for laundry or small things
fruit basket, fruit bowl, bowl of fruit, basket of fruit, fruit tray, fruit plate | food, container, fruit | 0.2-0.55 | 0.18-0.5 | 0.05-0.3 | 0.7-1.3 | surface | bumpy | 0.4 | eat, healthy, contain | yellow, orange, red, green, brown | holds fresh fruit, a healthy snack for hungry people
trash can, trashcan, garbage can, waste bin, dustbin, recycling bin, wastebasket, bin, rubbish bin, trash bin, waste basket, waste container, recycle bin | container | 0.18-0.65 | 0.16-0.6 | 0.22-1.1 | 0.22-1.15 | floor | round | 1.5 | dispose | black, gray, white, blue, green, silver | a container into which waste is thrown
bucket, pail, mop bucket | container | 0.2-0.4 | 0.2-0.4 | 0.18-0.45 | 0.18-0.6 | floor | round | 0.3 | carry_water, clean | blue, red, white, gray | a round open container with a handle for carrying water
vase, flower vase, jug, pitcher, carafe | container, decoration, kitchenware | 0.07-0.35 | 0.07-0.3 | 0.12-0.6 | 0.5-1.6 | surface | round | 0.6 | flowers, pour, decorate | - | a tall vessel that holds flowers or water
plant, potted plant, house plant, houseplant, flower, flowers, flower pot, plant pot, bouquet, tree | decoration | 0.12-1.3 | 0.12-1.2 | 0.15-2.2 | 0.3-2.3 | - | bumpy | 1.5 | decorate, water_it, nature | green | a living green plant in a pot that needs water
cup, paper cup, coffee cup, teacup, disposable cup, plastic cup, tumbler | drinkware, kitchenware, container | 0.05-0.14 | 0.05-0.12 | 0.05-0.18 | 0.5-1.5 | surface | round | 1.2 | drink, contain_liquid | white, brown | a small vessel from which people drink
mug, coffee mug | drinkware, kitchenware, container, cup | 0.07-0.15 | 0.07-0.12 | 0.07-0.14 | 0.5-1.5 | surface | round | 1.2 | drink, contain_liquid | - | a cup with a handle for hot coffee or tea
glass, drinking glass, wine glass, water glass | drinkware, kitchenware, container | 0.05-0.12 | 0.05-0.12 | 0.08-0.24 | 0.5-1.5 | surface | round | 0.8 | drink, contain_liquid | - | a clear vessel from which people drink
bottle, water bottle, wine bottle, beer bottle, plastic bottle, flask, thermos, soda bottle | drinkware, container, drink | 0.05-0.14 | 0.05-0.12 | 0.15-0.4 | 0.3-1.7 | surface | round | 1.2 | drink, contain_liquid, pour | - | a narrow vessel that holds water or another drink
can, soda can, tin, tin can, beer can, spray can | container, drink | 0.05-0.12 | 0.05-0.12 | 0.08-0.25 | 0.5-1.7 | surface | round | 0.5 | drink, contain_liquid | red, silver, blue | a metal container with a drink or food
jar, cookie jar, mason jar | container, kitchenware | 0.06-0.18 | 0.06-0.18 | 0.08-0.28 | 0.6-1.8 | surface | round | 0.4 | contain, food_store | - | a wide glass with a lid in which food is kept
bowl, salad bowl, cereal bowl | kitchenware, container, dish | 0.1-0.4 | 0.1-0.4 | 0.04-0.18 | 0.6-1.4 | surface | round | 0.9 | contain, eat_from | white | a round deep dish for soup, salad or cereal
plate, dish, saucer, platter | kitchenware, dish | 0.12-0.38 | 0.12-0.32 | 0.01-0.06 | 0.6-1.4 | surface | round, level | 0.9 | eat_from | white | a flat round dish from which food is eaten
tray, serving tray | kitchenware, container | 0.25-0.6 | 0.2-0.45 | 0.01-0.1 | 0.4-1.4 | surface | level | 0.4 | carry, serve | - | a flat board on which drinks and food are carried
pot, cooking pot, saucepan, pan, frying pan, skillet, wok | kitchenware, container | 0.16-0.6 | 0.14-0.4 | 0.04-0.3 | 0.8-1.4 | surface | round | 0.8 | cook | silver, black, gray | a metal vessel in which food is cooked on a stove
knife, kitchen knife | kitchenware, cutlery, tool | 0.15-0.38 | 0.01-0.06 | 0.005-0.05 | 0.6-1.4 | surface | bumpy | 0.2 | cut | silver | a blade with a handle that cuts bread and vegetables
spoon, fork, cutlery, silverware, chopsticks, ladle, spatula | kitchenware, tool | 0.12-0.35 | 0.01-0.09 | 0.005-0.06 | 0.6-1.4 | surface | bumpy | 0.2 | eat_with, stir | silver | tools with which food is eaten
cutting board, chopping board | kitchenware | 0.2-0.55 | 0.15-0.4 | 0.005-0.05 | 0.7-1.3 | surface | level | 0.3 | cut_on | brown, beige, white | a board on which vegetables and bread are cut
fruit, apple, banana, orange, pear, lemon, peach, grapes, mango, pineapple | food | 0.05-0.3 | 0.04-0.25 | 0.04-0.2 | 0.5-1.4 | surface | bumpy | 0.8 | eat, healthy | yellow, orange, red, green | fresh sweet food that is good for the health
vegetable, vegetables, salad, carrot, tomato, potato, pepper, cucumber, onion, broccoli | food | 0.04-0.35 | 0.03-0.25 | 0.03-0.25 | 0.5-1.4 | surface | bumpy | 0.4 | eat, healthy | green, red, orange | fresh plants that people cook and eat to stay healthy
bread, cake, cookie, cookies, snack, pizza, sandwich, chocolate, candy, chips, cereal, food, donut | food | 0.06-0.4 | 0.04-0.35 | 0.03-0.3 | 0.5-1.5 | surface | bumpy | 0.6 | eat | brown, yellow | something to eat when hungry
juice, milk, juice carton, milk carton, beer, wine, soda, water, drink, beverage, coffee, tea | drink, container, food | 0.06-0.16 | 0.05-0.12 | 0.1-0.35 | 0.6-1.7 | surface | bumpy | 0.3 | drink | white, orange | a liquid to drink against thirst
book, books, notebook, magazine, newspaper, brochure, leaflet, textbook, folder, binder | reading, office | 0.14-0.42 | 0.1-0.32 | 0.005-0.3 | 0.3-2.0 | surface | level | 1.5 | read | - | printed pages to read
paper, sheet of paper, document, papers, envelope, letter, mail | office | 0.14-0.45 | 0.1-0.32 | 0.0-0.04 | 0.3-1.3 | surface | level | 0.8 | write_on, read | white | a thin sheet for writing and printing
pen, pencil, marker, ballpoint, crayon, highlighter | office, tool | 0.1-0.2 | 0.005-0.03 | 0.005-0.03 | 0.5-1.3 | surface | bumpy | 0.3 | write_with | - | a stick with which people write and draw
scissors, stapler, tape, hole punch | office, tool | 0.1-0.28 | 0.03-0.14 | 0.01-0.1 | 0.5-1.3 | surface | bumpy | 0.3 | cut | - | a tool that cuts or holds paper
tissue, tissues, paper towel, paper towels, paper towel roll, toilet paper, napkin, kitchen roll, toilet paper roll, napkins | hygiene | 0.08-0.3 | 0.08-0.2 | 0.05-0.32 | 0.3-1.6 | surface | round | 0.8 | wipe, dry, clean | white | soft paper that wipes up spilled liquid and dirt
sponge, dish sponge, scrubber, wipes | cleaning tool | 0.07-0.2 | 0.05-0.14 | 0.02-0.08 | 0.7-1.2 | surface | bumpy | 0.2 | wipe, clean, wash | yellow, green, blue | a soft block that wipes and scrubs dirty dishes
soap, soap dispenser, shampoo, hand soap, hand sanitizer, lotion, detergent, dish soap, laundry detergent, cleaner | hygiene, container | 0.05-0.2 | 0.04-0.15 | 0.05-0.35 | 0.6-1.6 | surface | bumpy | 0.5 | wash, wash_hands, clean | - | cleans dirty hands, dishes or clothes together with water
toothbrush, toothpaste, comb, hairbrush, razor, hair dryer | hygiene | 0.1-0.3 | 0.02-0.15 | 0.02-0.2 | 0.7-1.3 | surface | bumpy | 0.2 | groom | - | for the care of teeth and hair
broom, mop, vacuum cleaner, vacuum, dustpan, duster, roomba, robot vacuum | cleaning tool, tool | 0.15-0.6 | 0.08-0.45 | 0.08-1.6 | 0.08-1.7 | floor | bumpy | 0.5 | clean, sweep | - | a tool that cleans dirt and dust from the floor
ironing board | furniture, tool | 1.0-1.6 | 0.28-0.5 | 0.05-1.6 | 0.7-1.6 | floor | level | 0.2 | iron | - | a padded board on which clothes are ironed
iron, flat iron, steam iron | appliance, tool | 0.22-0.36 | 0.1-0.18 | 0.1-0.2 | 0.4-1.3 | surface | bumpy | 0.1 | iron | white, blue | a hot tool that smooths wrinkled clothes
ladder, stepladder, step ladder | tool | 0.35-0.8 | 0.1-1.2 | 0.6-2.5 | 0.6-2.6 | floor | bumpy | 0.3 | climb | silver, gray | steps on which high places are reached
hammer, screwdriver, drill, pliers, tool, wrench, saw, tape measure | tool | 0.12-0.4 | 0.03-0.25 | 0.02-0.28 | 0.3-1.3 | surface | bumpy | 0.3 | repair | - | a hand tool for fixing and building things
toolbox, tool box, tool chest | container, storage, tool | 0.3-0.8 | 0.15-0.5 | 0.15-0.6 | 0.15-1.2 | - | bumpy | 0.3 | repair, store | red, black, blue, gray | a box with tools for repairs
fire extinguisher, extinguisher | safety | 0.12-0.28 | 0.12-0.25 | 0.35-0.75 | 0.4-1.5 | wall | bumpy | 0.4 | fire | red | a red bottle that puts out fire
first aid kit, medicine, medicine box, pills, bandage | safety, hygiene | 0.04-0.4 | 0.03-0.3 | 0.03-0.3 | 0.5-1.9 | surface | level | 0.2 | heal | white, red, green | helps a person who is hurt or ill
toy, doll, teddy bear, teddy, stuffed animal, plush, plush toy, lego, toy car, puzzle | toy, game | 0.06-0.6 | 0.05-0.45 | 0.04-0.6 | 0.04-1.3 | - | bumpy | 0.8 | play, children | - | something with which children play
ball, football, basketball, soccer ball, exercise ball, tennis ball | toy, sport | 0.06-0.75 | 0.06-0.75 | 0.06-0.75 | 0.06-1.3 | - | round | 0.4 | play, sport | - | a round toy that is thrown and kicked
board game, chess, chess board, cards, game, video game console, game console | toy, game | 0.15-0.5 | 0.1-0.45 | 0.02-0.2 | 0.3-1.3 | surface | level | 0.2 | play | - | a game that people play together
piano, keyboard piano, grand piano, organ | instrument, furniture | 1.2-1.8 | 0.3-1.6 | 0.1-1.35 | 0.75-1.4 | floor | upright | 0.3 | music | black, brown | a large instrument with keys that makes music
guitar, violin, ukulele, drum, instrument, musical instrument | instrument | 0.5-1.1 | 0.08-0.5 | 0.08-1.2 | 0.2-1.9 | - | bumpy | 0.3 | music | brown | an instrument that makes music
bicycle, bike, scooter | vehicle, sport | 1.2-1.9 | 0.3-0.7 | 0.7-1.2 | 0.8-1.25 | floor | bumpy | 0.3 | ride, sport | - | a vehicle with two wheels to ride on
treadmill, exercise bike, exercise machine, dumbbell, weights, yoga mat, gym equipment | sport | 0.15-2.1 | 0.1-0.95 | 0.05-1.6 | 0.05-1.6 | floor | bumpy | 0.2 | sport | black, gray | equipment for training the body
cat, dog, pet | animal | 0.2-1.0 | 0.1-0.4 | 0.12-0.7 | 0.12-1.2 | - | bumpy | 0.2 | pet | - | an animal that lives with people
person, man, woman, child, human, people | person | 0.3-1.2 | 0.2-0.8 | 0.8-2.0 | 1.0-2.05 | floor | bumpy | 0.4 | help | - | a human being
sculpture, statue, ornament, figurine, decoration, trophy | decoration | 0.06-0.8 | 0.05-0.7 | 0.1-1.9 | 0.3-2.2 | - | bumpy | 0.3 | decorate | - | an object made to look at
water dispenser, water cooler | appliance | 0.28-0.45 | 0.28-0.45 | 0.35-1.45 | 0.9-1.5 | floor | upright | 0.3 | drink, water | white | a machine from which people draw drinking water
vending machine | appliance, machine | 0.7-1.3 | 0.6-1.0 | 1.5-2.0 | 1.6-2.05 | floor | upright | 0.15 | drink, eat, buy | - | a machine that sells snacks and drinks
wheelchair, stroller, pram, baby carriage | vehicle, seat | 0.7-1.2 | 0.5-0.75 | 0.8-1.15 | 0.85-1.2 | floor | bumpy | 0.15 | sit, move_person | black | a chair on wheels in which a person is pushed
cart, trolley cart, serving cart, shopping cart | furniture, storage, vehicle | 0.4-1.1 | 0.3-0.65 | 0.5-1.1 | 0.6-1.15 | floor | bumpy | 0.3 | carry, put | - | a frame on wheels that moves things around
partition, room divider, cubicle wall, divider | furniture, structure, barrier | 0.6-3.0 | 0.02-0.5 | 1.0-2.1 | 1.1-2.1 | floor | upright | 0.2 | privacy | - | a movable wall that gives privacy
pillar, column | structure | 0.15-0.9 | 0.15-0.8 | 1.6-3.5 | 1.9-3.5 | floor | upright | 0.2 | - | white, gray | an upright post that carries the ceiling
podium, lectern, stand | furniture | 0.4-0.8 | 0.3-0.6 | 0.9-1.35 | 0.95-1.4 | floor | bumpy | 0.1 | write_on, show | brown | a stand from which a speaker talks
"""  # noqa: E501
