"""What known things are for, told as people tell it: complaints, wishes, activities, parts and what happens to them.

One line a class: its name, then statements separated by "|". They are compared one by one with the text of a need, so
each says one thing and says it plainly. Statements are general knowledge, written class by class along the same
questions: what problem does it solve, what is done with it, what does it consist of, what does it hold or stand on,
who uses it and when.
"""

from __future__ import annotations

from functools import cache

_TABLE = """
chair: I am tired of standing and want to sit down | a place for one person to sit | pull it up to the table before eating | it has four legs, a seat and a backrest | people sit on it at a table or desk | offer a visitor a place to sit | someone has to sit while working | it wobbles when one of its legs is short
armchair: sink into something soft and put your arms on the sides | the most comfortable place for one person to read | grandfather sits in it and falls asleep | sit and relax alone with a cup of tea | a padded seat with arms
sofa: the whole family sits on it to watch television | lie down in the living room for an afternoon rest | guests sit side by side on it | a wide upholstered seat with cushions for several people | a visitor may sleep on it overnight | we want to sit next to each other | cuddle up together for a film
stool: sit without a back | perch at the bar or at a high counter | a small seat that is easily carried around | stand on it to reach something a little higher | a simple seat with three or four legs
ottoman: put my feet up | rest my legs while I sit in the armchair | my ankles are swollen and should be raised | a low padded cube in front of the sofa
bench: several people sit side by side on a hard seat | sit down in the hall to put on shoes | people wait on it in a row | a long wooden seat without separate places
bed: I want to sleep | I am tired and it is late at night | lie down after a long day | a place where people sleep and dream | it has a mattress, a frame and sheets | I am ill and should lie down | tuck the children in at night | it has to be made every morning | I did not sleep last night and can hardly keep my eyes open | take a nap | spend the night
crib: put the baby to sleep | the infant must not roll out at night | bars keep a baby safe while sleeping
table: where can we have dinner together | eat a meal | the family gathers around it for meals | set out plates and food for guests | play cards around it | spread out a large map | meet and discuss around a flat top | lay the cloth and the cutlery on it | a flat board on four legs | sit around it with friends
coffee table: put down a drink in front of the sofa | magazines and the remote lie on it | a low surface for cups and snacks in the living room | it is too low to eat at
desk: I have to do my homework | a place to work at the computer | write a letter | study for an exam | where can I get some work done | do the paperwork and the taxes | sit down and concentrate on the work | draw a plan
foosball table: kick a small ball with players on rods | turn the handles and score goals | two teams play football indoors on a table
pool table: strike balls with a cue into the pockets | a green cloth on which billiards is played
ping-pong table: hit a small white ball over a net with a bat | play table tennis
nightstand: keep my glasses and my book within reach of the bed | put down the phone before sleeping | it stands next to the bed and carries a lamp | turn off the alarm beside me in the morning
kitchen counter: prepare food before cooking | chop vegetables here | knead the dough | a work surface in the kitchen | put the groceries down in the kitchen | roll out dough | appliances such as toasters stand on it
workbench: saw and drill wood on it | clamp a work piece | repair a machine on a sturdy table
cabinet: store dishes and supplies behind doors | keep things out of sight | put the plates back where they belong | lock away documents | files and folders are kept in it | open the doors and look on the shelves inside | where are the pots kept | get rid of clutter by storing it | keep the cleaning supplies away from children
wardrobe: hang up my suits and dresses | keep clothes without creases | clothes hang on a rail inside | what shall I wear today, let me look at my clothes | choose an outfit in the morning | moths might live in it | put away winter coats in summer
dresser: put the folded clothes into drawers | socks and underwear are kept here | pull out a drawer to get a shirt | keep sweaters folded
bookshelf: keep my books in order | put the novel back when I have finished reading | a collection of books stands on it | a librarian would sort it | display books and ornaments on open boards | shelves for literature | I own too many books and need a place for them | where is the literature in this house
coat rack: hang up my coat when I come home | it carries jackets and hats | take off your jacket, where does it go | hooks for coats by the entrance | leave a wet raincoat to drip
shoe rack: put shoes away in the hall | keep pairs of shoes in order | muddy boots should not lie around
tv stand: the television stands on it | a low cabinet for the television and its players | hide the cables below the screen | game consoles and discs are kept under the screen
refrigerator: keep food cold and fresh | the milk will go sour if it stays out | I want something cold to drink | store leftovers until tomorrow | the ice cream will melt | put the groceries that spoil somewhere | meat must be cooled | it hums in the kitchen and a light goes on when opened | where is the cheese kept | keep beer cool for the party | make ice cubes | food goes bad in the heat | look for something to eat at midnight
oven: bake a cake | roast a chicken | cook a meal in pots and pans on hot plates | fry an egg | boil water for pasta | a pizza goes in at two hundred degrees | it gets very hot in the kitchen | heat up the soup in a pot | grandmother bakes bread in it | switch off the hot plate before leaving | prepare a warm dinner | something burns when it is forgotten on the heat
microwave: warm up yesterday's dinner in a minute | my food has become cold | heat a frozen meal quickly | make popcorn | it beeps when the food is warm | a plate turns inside behind a glass door | warm the milk quickly | defrost bread | no metal may go into it
dishwasher: clean the dirty dishes without washing by hand | load the plates and glasses after dinner | it washes cutlery with salt and tabs | I do not want to scrub the plates myself
washing machine: my clothes are dirty | do the laundry | wash a stained shirt | it spins wet clothes in a drum | the sports clothes smell of sweat | put in detergent and dirty clothes | socks disappear in it | the sheets must be washed | my shirt has a spot of sauce
dryer: the laundry is wet and it is raining outside | tumble wet clothes until they are dry | clothes come out warm and dry
kettle: boil water for tea | make a hot drink | I want a cup of tea | it whistles or clicks when the water boils | hot water for instant noodles | pour boiling water over the tea bag | fill it with water and switch it on | it has a spout and a handle | lime builds up in it
coffee machine: I need caffeine in the morning | brew an espresso | make fresh coffee | it grinds beans | I am sleepy and need something that wakes me up | prepare a cappuccino for a guest | filters and ground beans go in
toaster: make my bread crisp and brown | slices jump up when they are ready | breakfast with warm bread and jam | it is full of bread crumbs and has two slots
blender: make a smoothie | crush fruit into a drink | puree the soup | beat eggs and cream | it has sharp turning blades in a jug
sink: wash my hands | my hands are dirty | rinse a cup under running water | brush my teeth here | water runs from the tap into the drain | wash my face in the morning | fill a glass with water | wash vegetables before cooking | clean hands before eating | a bowl with a drain below the tap | pour away the cold tea | wash fruit | spit out the toothpaste | my fingers are sticky | shave over it | the plumber frees its drain
faucet: let the water run | turn it to get hot or cold water | it drips at night | fill a bottle with water | the plumber replaces its seal
toilet: I have to pee | nature is calling | relieve oneself | flush after use | sit down in the bathroom in private | my stomach is upset | I drank too much and have to go | it is flushed with water | paper is thrown into it | men leave the lid up
urinal: men pee standing
bathtub: take a hot bath | lie in warm water with foam | soak after a long day | wash the whole body while lying | bathe the children | it can be filled with water for a whole person | relax in bubbles | my muscles ache and I want to soak | a rubber duck swims in it | pull the plug and the water runs out
shower: wash the whole body standing | I am sweaty after running | get clean quickly in the morning | water falls from above on the body | rinse off sand from the beach | wash my hair under running water | I sing while washing myself
shower curtain: keep the bathroom floor dry while showering | it hangs from a rail above the tub | stop water from splashing out | be hidden while washing
curtain: the sun is blinding me | keep people from looking in | make the room dark during the day | cloth hangs in front of the window | I want to sleep although it is bright outside | pull it closed in the evening | keep out the street lights | the neighbours can see everything | draw it open in the morning | glare on the screen
window: let some fresh air in | look outside | see what the weather is like | the room is stuffy | daylight comes in through it | it smells in here | watch the birds outside | clean the glass until one can see through | open it to air the room | a ball might break its glass | feel the breeze | watch the street | rain drops run down the glass | water the flowers on its sill
door: leave the room | go out | someone is knocking | let the visitor in | close it to keep noise out | the way out in an emergency | turn the key in the lock | it has a handle and hinges | get to the next room | the bell rings, somebody is waiting outside | it swings and slams in a draught | the cat wants to go out | lock up before leaving the house
door handle: push it down to open | hold it to pull something open
stairs: get to the upper floor | walk up and down step by step | hold on to the rail while climbing
wall: hang a picture here | paint it in another colour | separates two rooms
floor: walk on it | it was mopped and is slippery
ceiling: look up and see it | lamps hang from it
radiator: I am freezing | it is cold in here | turn up the heating | warm my cold feet | dry wet gloves on it in winter | hot water flows through it | the room should be warmer | it makes the room warm in winter | my fingers are stiff with cold | ribs of metal below the window that get warm | the temperature should go up | I am shivering
fireplace: sit by a warm crackling fire | burn wood logs | Santa comes down its chimney | ashes have to be removed
fan: it is too hot in here | move the air on a summer day | blades turn and blow air at me | I am sweating
air conditioner: cool the room on a hot day | the heat is unbearable | it blows cold air
lamp: it is too dark to read | switch on some light | I cannot see my book in the evening | a bulb with a shade | light up the desk at night | the sun has set and I want to go on reading | it shines when switched on | change its bulb when it is burnt out | it is getting dark | moths fly around it | work at night without straining my eyes | it gives light in the evening
floor lamp: brighten the corner of the living room | a tall light beside the sofa | it is dark next to the armchair | a pole with a shade and a bulb on top
ceiling lamp: light up the whole room from above | it hangs over the table and shines down | stand on a ladder to change the bulb
light switch: turn the lights on and off | press the button on the wall when entering a dark room
outlet: plug in the charger | where can I charge my phone | my battery is empty | connect an appliance to electricity | the vacuum cleaner needs power | toddlers must not put their fingers into it
candle: a romantic dinner by soft light | light it with a match | wax melts while the wick burns | power is out and it is dark | it smells of vanilla when it burns | it gets shorter while it burns | decorate the table with a small flame | light without electricity | a lighter or a match is needed for it
television: watch a film tonight | see the news | the football match starts soon | a big screen for series and shows | what is on tonight | sit back and watch a programme | change the channel | children want to see cartoons | I want to be entertained in the evening | an aerial or cable brings pictures to it
monitor: see what the computer shows | a second screen for work | programmers look at it all day | display windows and documents | my eyes hurt after hours of looking at it at work | it is connected to the computer with a cable and shows the picture
laptop: write an email | surf the internet | work on the train | do a video call | open it and type a report | a portable computer that can be folded | write code | take the office along | watch a film on the way | look something up online | check my mail
desktop computer: the box with processor and drives under the desk | it starts with a fan noise when switched on | calculate and play computer games | runs the programs for the screen
keyboard: type a text with ten fingers | press keys to enter letters | it has letters and a space bar | a pianist of words uses it | enter the password | write on the computer
mouse: move the cursor on the screen | click with a finger | scroll down a page | a hand rests on it while pointing | double click
printer: put this document on paper | make a copy | I need this file on paper | it runs out of ink or toner | paper jams in it | print the tickets | scan a contract | I have to hand in the essay on paper
projector: show slides on the wall | throw a film on a large screen | give a presentation in the dark
phone: call my mother | it rings and somebody wants to speak to me | send a text message | order a pizza | call an ambulance | dial a number | talk to someone far away | take it along in the pocket
tablet: read and swipe on a touch screen | draw with a finger on a flat screen | the child watches videos on it
speaker: play some music loudly | hear the song | dance to the music | sound comes from it | turn up the volume | listen to the radio | the party needs music | hear a podcast while cooking
headphones: hear music without disturbing others | shut out the noise | put over the ears | listen alone on the train
camera: take a photo | record a video of the party | it has a lens | keep the moment as a picture
remote control: switch channels from the sofa | turn down the volume from afar | it has many buttons and two batteries | it always hides between the cushions
clock: what time is it | am I late | hands that go round | it ticks on the wall | see how many minutes are left | wake me up at seven | know when the train leaves | it has twelve numbers | I must not miss my appointment | change it twice a year for summer time | it tells the hour
picture: decorate a bare wall | an artist painted it | a view of a landscape in a frame | look at a memory of the family | something beautiful to look at on the wall | hang it straight with a nail | art in a frame | it shows people or places but does not move
mirror: see how I look | check my hair before going out | shave and see my face | is my tie straight | put on make-up | it reflects everything | see myself from head to toe | try on clothes and see how they fit | there is something between my teeth | left and right are swapped in it
whiteboard: write down ideas for everyone to see | the teacher writes on it | explain with a drawing in front of a group | markers and an eraser are used on it | pin a notice for all
calendar: which day is it today | when is the birthday | plan the month
rug: my bare feet are cold on the floor | a soft thing under my feet | it covers the floor | wipe the shoes on it | children sit on it to play on the ground | it has to be vacuumed | step on something soft after the shower | it slips on smooth floors | dirt is swept under it | make the floor warmer and softer | it is rolled up when moving house
pillow: rest my head on something soft | my neck hurts when I lie flat | put something soft behind my back | it is filled with feathers | children fight with them in the bedroom | a soft thing on the bed or sofa | lean against something soft | it has a cover that can be washed | support my back when sitting
blanket: I am cold on the sofa | cover myself while I sleep | wrap up in something warm | keep warm at night | build a tent for children with it | spread it on the grass for a picnic | it lies on the bed and warms the sleeper | share something warm under which two can lie
towel: dry my hands | dry myself after the shower | my hair is wet | dry the dishes | take it to the beach or the pool | it hangs in the bathroom | I stepped out of the bath dripping | a cloth that takes up water | rub the wet dog dry
mattress: sleep on something soft on the floor | it lies on the frame of a bed | springs or foam inside | inflate it for a guest
jacket: put it on when it is cold outside | I am going out and it is windy | a zipper in front and two sleeves | hang it up when coming home | worn on the body
shoe: put on something before going outside | protect my feet on the street | I am barefoot and want to go for a walk | tie the laces | take them off before stepping on the carpet | they come in pairs | worn on the feet | the sole is worn | stepped in mud with them | run a marathon in them | a heel broke off | they smell after sport | polish the leather
hat: keep the sun off my head | wear on the head | protect the head when cycling | keep my ears warm
umbrella: it is raining and I have to go out | stay dry in the rain | open it above the head | protect from a shower | the forecast says rain | it drips in the hall after a storm | the wind turns it inside out
backpack: carry books to school | go hiking with it | two straps over the shoulders | pack a lunch for a day trip | carry the laptop on the back | a pupil takes it to class | keep both hands free while carrying things
bag: carry the groceries home | put my purse and keys in it | take along something to the gym | it has handles and hangs on the arm | go shopping with it
suitcase: pack for a holiday | travel by plane | it has wheels and a handle | fill it with clothes before a journey | check in at the airport | it is weighed before the flight | we are going away for two weeks | the trip starts tomorrow and nothing is packed | put clothes in it for the vacation
box: put things in when moving house | a parcel arrived | pack up toys or old things | made of cardboard with flaps | store the christmas decoration | send a gift by mail | it is closed with tape | keep small things together | the delivery came in it | move to another flat and pack everything
crate: carry bottles | stack them with vegetables | an open box of plastic or wood
basket: put the dirty laundry in | carry picnic food | woven from willow | collect toys in it | go and gather apples or mushrooms | it is woven and has handles | clothes wait here to be washed
trash can: throw this away | I have an empty package to get rid of | rubbish goes here | where does the banana peel go | used tissues belong here | it smells and must be emptied | a bag is inside and is taken out every week | this is broken and no use any more | put the waste in it | dispose of food scraps | crumpled paper is thrown into it | clean up the litter after the party
bucket: mop the floor with water in it | carry water | catch drops from a leaking roof | build a sand castle with it
vase: put the flowers in water | I got a bouquet | it holds roses | cut flowers stand in it | it breaks easily and stands on the table | a present of tulips needs something to stand in | a slim vessel of glass or porcelain with flowers
plant: water it twice a week | it is green and alive | it makes oxygen and grows towards light | its leaves turn yellow when forgotten | it grows in a pot with soil | bring nature into the room | it needs sun and water | the gardener cares for it | a neighbour waters it during holidays | it wilts | it has leaves and roots | improve the air with something living
cup: drink tea or coffee from it | pour some tea into it | a small vessel with a handle | it stands on a saucer | sip a hot drink | it holds coffee
mug: drink hot chocolate from it | hold a warm drink in both hands | a large cup with a handle | pour coffee into it | a hot drink for the morning | it keeps my fingers warm
glass: drink water from it | pour wine or juice | raise it for a toast | it is transparent and breaks | cold drinks are served in it
bottle: take water along to sport | I am thirsty | unscrew the cap and drink | it holds water, oil or wine | open it with a corkscrew | pour from its neck | a message might travel in it | return it for the deposit | drink on a hike | it has a narrow neck and a cap
can: open it with a ring and drink a soda | a metal tin with soup or fish | it keeps food for years
jar: jam and honey are kept in it | screw off the lid | cookies are kept in it | preserve fruit
bowl: eat soup from it | eat cereal with milk | mix the dough or a salad | it is round and deep | fruit lies in it on the table | serve salad or snacks to guests | eat muesli in the morning | noodles with broth are served in it
plate: serve dinner on it | it is flat and round and food lies on it | eat cake from it | it was licked clean | set one at each place on the table | have a meal from it with knife and fork | spin them in a circus | food is arranged on it | wash it after eating
tray: carry several drinks at once | bring breakfast to bed | serve tea to guests
pot: cook pasta or soup in it | boil potatoes | fry an egg or a steak in it | it has a lid and handles and stands on the stove | simmer a sauce | stir a stew with a wooden spoon | make a soup for everybody | it goes on the stove
knife: cut bread or vegetables | it is sharp | slice the meat | spread butter | peel an apple
spoon: eat soup with it | stir the coffee | eat with knife and fork | take a mouthful | mix the batter
cutting board: chop onions on it | cut without scratching the table | slice bread on it
fruit: eat something healthy | I want vitamins | a sweet snack that grows on trees | bite into something juicy | it can be peeled | a doctor recommends one a day | make juice from it | it grows on trees and is picked in autumn | I am hungry between meals and do not want sweets | it has a core and seeds | it rots when it lies too long
vegetable: make a salad | cook something healthy and green | rabbits would eat it | it grows in the garden
bread: I am hungry | have a snack | eat breakfast | baked in an oven | something sweet with coffee
juice: I am thirsty | drink something sweet | pour it into a glass | quench my thirst
book: I am bored and want to read | a story to read before sleeping | it has pages and a cover | a novel to read on holiday | learn something by reading | an author wrote it | borrow it from the library | turn the pages | it is read from front to back | a student learns from it | read aloud to the children | words printed on paper and bound
paper: write a note on it | fold it into a plane | sign the form | a letter came by post
pen: write something down | sign the contract | draw a sketch | take notes | it is full of ink
scissors: cut paper | open the package | trim a thread | two blades and holes for fingers
tissue: I spilled my drink | wipe up a puddle | blow my nose | I have a cold and sneeze | dry tears | wipe my mouth after eating | something absorbs a spill | torn off a roll and thrown away after use | clean up a mess on the table | coffee ran over the table | dry wet hands with paper | soft paper for the bathroom | wipe the table
sponge: scrub dirty dishes | wipe the kitchen clean | it soaks up water and can be squeezed | clean a greasy pan
soap: get rid of germs on the hands | it makes foam with water | remove grease and dirt from my skin | it smells good and is slippery | wash with something besides water | wash hands before dinner with it | it gets smaller while it is used | bubbles can be made with it | it stands beside the sink to clean hands | germs on my fingers
toothbrush: clean my teeth | comb my hair | prevent tooth decay | it has bristles | dry hair with hot air
broom: sweep the floor | there is dust on the floor | crumbs lie on the ground | mop up dirt | the carpet should be vacuumed | broken glass lies on the floor | a witch flies on it | clean the house
ironing board: press shirts on it | a stand to iron on
iron: my shirt is wrinkled | smooth out creases with heat and steam
ladder: reach something high up | climb up to change a light bulb | pick apples from a tree | it has rungs
hammer: drive a nail into the wall | fix a broken chair | assemble furniture | tighten a screw | repair something
toolbox: where are the tools for repairs | fix something that is broken | it holds hammers and screwdrivers | a craftsman carries it
fire extinguisher: something is burning | put out the flames | there is smoke and fire | spray foam in an emergency
first aid kit: I cut my finger and it bleeds | I have a headache | bandage a wound | someone is hurt | take a pill against pain
toy: the child wants to play | a gift for a small child | build something from coloured bricks | hug a soft animal | the kids are bored
ball: throw it and catch it | kick it into a goal | it rolls and bounces | play football in the garden | it is round and full of air | a team plays with it | hit it with a bat | it rolled under the sofa | pass it to a player
board game: play together on a rainy evening | roll dice and move pieces | a game for the family
piano: play a sonata | it has black and white keys | practise scales | it has to be tuned
guitar: play a song by the campfire | it has strings | make music | play in a band
bicycle: ride to work | two wheels and pedals | its tyre is flat | exercise outdoors
treadmill: run indoors | lose weight | lift weights | do yoga | get fit
cat: it purrs or barks | stroke an animal | it wants to be fed
person: ask somebody for help | talk to someone
sculpture: a work of art to look at | decorate the shelf | it was carved from stone
water dispenser: fill my bottle with fresh water | drink cold water at the office
vending machine: buy a snack with coins | get a can of soda in the hallway
wheelchair: push somebody who cannot walk | take the baby for a walk
cart: move heavy things around | push the dishes to the kitchen on wheels
partition: separate the desks | some privacy in an open office
pillar: it carries the roof
podium: give a speech | put the manuscript on it while speaking
"""  # noqa: E501


@cache
def uses() -> dict[str, tuple[str, ...]]:
    """Return statements about what each class is for, by the name of the class."""
    table = {}
    for line in _TABLE.strip().splitlines():
        name, _, statements = line.partition(":")
        table[name] = tuple(statement.strip() for statement in statements.split("|"))
    return table
